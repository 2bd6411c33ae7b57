//! Standard output where events go there: then it holds nothing else, and without a reader there is no way on.

use std::io;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::failure::Failure;
use super::tell;
use crate::config::{Destination, PipelineConfig};

/// Whether events go to standard output.
#[derive(Debug)]
pub(crate) struct EventsOut {
    is_taken: bool,
    is_closed: bool,
}

impl EventsOut {
    /// Of these pipelines. `json` where a report would go there too.
    ///
    /// # Errors
    /// When two things would.
    pub(crate) fn of(pipelines: &[PipelineConfig], json: bool) -> Result<Self, Failure> {
        let goes_there = |pipeline: &&PipelineConfig| matches!(&pipeline.destination, Destination::File(file) if file.path().is_none());
        let mut names = pipelines.iter().filter(goes_there).map(|pipeline| pipeline.name.clone());
        let first = names.next();
        match (&first, names.next(), json) {
            (Some(pipeline), None, true) => Err(Failure::StdoutIsTaken { pipeline: pipeline.clone(), other: "--json" }),
            (Some(pipeline), Some(_), _) => {
                Err(Failure::StdoutIsTaken { pipeline: pipeline.clone(), other: "another pipeline" })
            }
            _ => Ok(Self { is_taken: first.is_some(), is_closed: false }),
        }
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.is_taken
    }

    /// Whether the reader has just gone, which is said once: nothing can be delivered there any more.
    pub(crate) fn has_just_closed(&mut self) -> bool {
        if !self.is_taken || self.is_closed || !is_without_reader() {
            return false;
        }
        self.is_closed = true;
        tell("ending: nobody reads standard output any more; what was not taken goes to the dead letter");
        true
    }
}

/// A pipe whose other end is closed; a file and a terminal always have one.
fn is_without_reader() -> bool {
    let stdout = io::stdout();
    let mut asked = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut asked, Some(&now)).is_ok_and(|answers| answers > 0)
        && asked.iter().any(|asked| asked.revents().contains(PollFlags::ERR))
}
