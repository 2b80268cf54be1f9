//! Passes over columns nobody asked for: as they are drawn in `cells`, but nothing is put together.

use super::{CELL, COUNTED, Cells, ENTRIES, FORM_WIDTHS, GROUPS_MAX, HEX, LINES, PATTERN, SAME, SHARED};
use crate::block::numbers::{pass_numbers, take_numbers};
use proto::field::BadField;

impl Cells<'_> {
    /// Passes over a column of `count` cells.
    pub fn pass_column(&mut self, count: usize) -> Result<(), BadField> {
        match self.heads.u8()? {
            SAME => self.heads.counted(usize::MAX).map(drop),
            PATTERN => self.pass_pattern(count),
            ENTRIES => {
                let different = self.heads.count(count)?;
                self.pass_column(different)?;
                pass_numbers(&mut self.numbers, count)
            }
            LINES => {
                let last = count.checked_sub(1).ok_or(self.heads.bad("a column without cells"))?;
                let end = memchr::memchr_iter(b'\n', self.text.rest()).nth(last);
                let end = end.ok_or(self.text.bad("fewer cells than there should be"))?;
                self.text.take(end + 1).map(drop)
            }
            COUNTED => {
                let lengths = take_numbers(&mut self.numbers, count)?;
                let all = lengths.into_iter().fold(0u64, u64::saturating_add);
                self.text.take(usize::try_from(all).unwrap_or(usize::MAX)).map(drop)
            }
            HEX => {
                let digits = usize::from(self.heads.u8()?);
                self.heads.u8()?;
                self.text.take(count.saturating_mul(digits / 2)).map(drop)
            }
            SHARED => {
                self.heads.count(GROUPS_MAX)?;
                pass_numbers(&mut self.numbers, count)
            }
            _ => Err(self.heads.bad("a column of an unknown kind")),
        }
    }

    fn pass_pattern(&mut self, count: usize) -> Result<(), BadField> {
        let text = self.heads.counted(usize::MAX)?;
        for _ in 0..text.iter().filter(|&&byte| byte == CELL).count() {
            if self.heads.u8()? == FORM_WIDTHS {
                pass_numbers(&mut self.numbers, count)?;
            }
            pass_numbers(&mut self.numbers, count)?;
        }
        Ok(())
    }
}
