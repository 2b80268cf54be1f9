//! What the buck counts of itself, by the names `status` and the metrics show.

#[derive(Debug, Default)]
pub struct Counters {
    pub packets_kept: u64,
    pub bytes_kept: u64,
    pub lines_kept: u64,
    pub closings_kept: u64,
    pub repeats: u64,
    pub refused: u64,
    pub refused_foreign: u64,
    pub refused_busy: u64,
    pub refused_full: u64,
    pub moved: u64,
    pub syncs: u64,
    pub files_deleted: u64,
    pub torn_bytes: u64,
    pub recovered: u64,
}

impl Counters {
    pub fn list(&self) -> Vec<(String, u64)> {
        let named = [
            ("packets_kept", self.packets_kept),
            ("bytes_kept", self.bytes_kept),
            ("lines_kept", self.lines_kept),
            ("closings_kept", self.closings_kept),
            ("repeats", self.repeats),
            ("refused", self.refused),
            ("refused_foreign", self.refused_foreign),
            ("refused_busy", self.refused_busy),
            ("refused_full", self.refused_full),
            ("moved_to_another_disk", self.moved),
            ("syncs", self.syncs),
            ("files_deleted", self.files_deleted),
            ("torn_bytes_skipped", self.torn_bytes),
            ("records_recovered", self.recovered),
        ];
        named.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
    }
}
