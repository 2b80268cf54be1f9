//! The footer: where a block's parts are. The file's last bytes, always as many.
//!
//! ```text
//! u64 at, u64 bytes                               the leaves of the gram index
//! 9 times u64 at, u32 packed, u32 bytes, u32 crc  head, sources, pages, counts, extents, leaf table, templates,
//!                                                 tallies, filter; the crc32c is of the packed bytes; plain when packed = bytes
//! u8 version, u8 profile, 2 zeros
//! u32 crc32c of all the above
//! "tbk1"
//! ```
//!
//! Sections lie one after another up to the footer, so whoever has the bytes from the first of them to the end
//! of the file has the whole directory.

use super::limits::SECTION_BYTES_MAX;
use super::{BlockError, Part, Profile, VERSION};
use proto::field::{BadField, Fields, put_u32, put_u64};
use proto::squeeze::stretch;
use std::ops::Range;

pub const MAGIC: &[u8; 4] = b"tbk1";

/// Sections in the order they stand.
pub const SECTIONS: [Part; 9] = [
    Part::Head,
    Part::Sources,
    Part::Pages,
    Part::Counts,
    Part::Extents,
    Part::LeafTable,
    Part::Templates,
    Part::Tallies,
    Part::Filter,
];

pub const FOOTER_BYTES: usize = 16 + SECTIONS.len() * 20 + 4 + 4 + 4;

/// Where one section lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Section {
    pub at: u64,
    pub packed: u32,
    pub bytes: u32,
    pub crc: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    pub profile: Profile,
    pub leaves: Range<u64>,
    pub sections: [Section; SECTIONS.len()],
}

impl Footer {
    pub fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        put_u64(out, self.leaves.start);
        put_u64(out, self.leaves.end - self.leaves.start);
        for section in &self.sections {
            put_u64(out, section.at);
            put_u32(out, section.packed);
            put_u32(out, section.bytes);
            put_u32(out, section.crc);
        }
        out.extend_from_slice(&[VERSION, self.profile.to_u8(), 0, 0]);
        let crc = crc32c::crc32c(&out[start..]);
        put_u32(out, crc);
        out.extend_from_slice(MAGIC);
    }

    /// Reads the footer of a file of `length` bytes from its last bytes.
    pub fn read(suffix: &[u8], length: u64) -> Result<Self, BlockError> {
        let start = suffix.len().checked_sub(FOOTER_BYTES).ok_or(BlockError::Foreign)?;
        let footer = suffix.get(start..).unwrap_or_default();
        let damaged = |why| BlockError::Damaged { part: Part::Footer, why };
        let (body, tail) = footer.split_at_checked(FOOTER_BYTES - 8).ok_or(BlockError::Foreign)?;
        let (crc, magic) = tail.split_at_checked(4).ok_or(BlockError::Foreign)?;
        let crc_fits = crc32c::crc32c(body).to_le_bytes() == crc;
        match (magic == MAGIC, crc_fits) {
            (true, true) => {}
            (false, false) => return Err(BlockError::Foreign),
            (false, true) => return Err(damaged("its last bytes are not a block's")),
            (true, false) => return Err(damaged("does not fit its checksum")),
        }
        let version = body.get(FOOTER_BYTES - 12).copied().unwrap_or(0);
        if version != VERSION {
            return Err(BlockError::Version(version));
        }
        let footer = Self::read_body(body).map_err(|bad| damaged(bad.why))?;
        footer.check_places(length).map_err(damaged)?;
        Ok(footer)
    }

    fn read_body(body: &[u8]) -> Result<Self, BadField> {
        let mut fields = Fields::new(body);
        let (start, bytes) = (fields.u64()?, fields.u64()?);
        let end = start.checked_add(bytes).ok_or(fields.bad("a length too large"))?;
        let mut sections = [Section::default(); SECTIONS.len()];
        for section in &mut sections {
            *section = Section { at: fields.u64()?, packed: fields.u32()?, bytes: fields.u32()?, crc: fields.u32()? };
        }
        fields.u8()?;
        let profile = Profile::from_u8(fields.u8()?).ok_or(fields.bad("an unknown profile"))?;
        Ok(Self { profile, leaves: start..end, sections })
    }

    fn check_places(&self, length: u64) -> Result<(), &'static str> {
        let mut at = self.leaves.end;
        for section in &self.sections {
            if section.at != at || section.packed.max(section.bytes) as usize > SECTION_BYTES_MAX {
                return Err("a section that is not in its place");
            }
            at = at.checked_add(u64::from(section.packed)).ok_or("sections beyond any file")?;
        }
        if at.checked_add(FOOTER_BYTES as u64) == Some(length) {
            Ok(())
        } else {
            Err("sections that don't fit the file")
        }
    }

    /// How long a section is in the file.
    #[must_use]
    pub fn packed_bytes(&self, part: Part) -> u64 {
        let place = SECTIONS.iter().position(|&section| section == part);
        place.and_then(|place| self.sections.get(place)).map_or(0, |section| u64::from(section.packed))
    }

    /// Where the directory begins.
    #[must_use]
    pub fn directory_at(&self) -> u64 {
        self.leaves.end
    }

    /// A section's bytes, checked and unpacked; `directory` begins at [`Self::directory_at`].
    pub fn section(&self, part: Part, directory: &[u8]) -> Result<Vec<u8>, BlockError> {
        let damaged = |why| BlockError::Damaged { part, why };
        let index = SECTIONS.iter().position(|&section| section == part).ok_or(damaged("no section"))?;
        let section = self.sections.get(index).copied().unwrap_or_default();
        let start = usize::try_from(section.at - self.directory_at()).map_err(|_| damaged("too far away"))?;
        let packed = directory.get(start..).and_then(|rest| rest.get(..section.packed as usize));
        let packed = packed.ok_or(damaged("ends too early"))?;
        if crc32c::crc32c(packed) != section.crc {
            return Err(damaged("does not fit its checksum"));
        }
        if section.packed == section.bytes {
            return Ok(packed.to_vec());
        }
        stretch(packed, section.bytes as usize, SECTION_BYTES_MAX).map_err(|_| damaged("can't be decoded"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_beyond_any_file_are_refused() {
        let mut sections = [Section::default(); SECTIONS.len()];
        sections[0] = Section { at: u64::MAX, packed: 1, bytes: 1, crc: 0 };
        let footer = Footer { profile: Profile::Recent, leaves: 0..u64::MAX, sections };
        assert_eq!(footer.check_places(100), Err("sections beyond any file"));
    }
}
