//! A fetch: records as they were put, for a porter.
//!
//! What is asked for and not held is not in the answer; what is held and can't be read is in its trouble. A porter
//! then takes the other copy.

use crate::job::{Step, Trouble, checked};
use crate::place::Place;
use bytes::Bytes;
use proto::message::{End, Part, Progress};
use std::collections::VecDeque;

#[derive(Debug)]
pub struct Fetch {
    places: VecDeque<Place>,
    reading: Option<Place>,
    ready: Option<Bytes>,
    trouble: Trouble,
    ended: bool,
}

impl Fetch {
    #[must_use]
    pub fn new(places: Vec<Place>) -> Self {
        Self { places: places.into(), reading: None, ready: None, trouble: Trouble::default(), ended: false }
    }

    pub fn step(&mut self) -> Step {
        if let Some(bytes) = self.ready.take() {
            return Step::Part(Part::Record(bytes.into()));
        }
        if let Some(place) = self.places.pop_front() {
            self.reading = Some(place.clone());
            return Step::Read(place);
        }
        if self.ended {
            return Step::Done;
        }
        self.ended = true;
        let end =
            End { exhausted: true, progress: Progress::default(), heard: Vec::new(), trouble: self.trouble.take() };
        Step::Part(Part::End(end))
    }

    pub fn on_read(&mut self, read: Result<Bytes, String>) {
        let Some(place) = self.reading.take() else { return };
        match checked(&place, read) {
            Ok(bytes) => self.ready = Some(bytes),
            Err(sentence) => self.trouble.say(sentence),
        }
    }
}
