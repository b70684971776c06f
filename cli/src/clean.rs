//! `offmap clean`.

use crate::Stop;
use crate::arguments::Clean;
use crate::terminal::{note, out};
use offmap::Leftover;
use offmap::packager::MobileMapPackager;

pub(crate) fn run(arguments: &Clean) -> Result<u8, Stop> {
    let mut all: Vec<Leftover> = Vec::new();
    for place in &arguments.places {
        all.extend(Leftover::find(place)?);
    }
    all.dedup();
    if all.is_empty() {
        out!("nothing is left of unfinished jobs");
    }
    let mut stops = Vec::new();
    for left in &all {
        let (path, out) = (left.path.display(), left.destination.display());
        if left.in_use {
            out!("in use   {path} ({} bytes): a job for {out} is running", left.bytes);
        } else if arguments.dry_run {
            let way = if left.can_resume { format!("; `offmap resume {out}` goes on with it") } else { String::new() };
            out!("left     {path} ({} bytes){way}", left.bytes);
        } else {
            match left.remove(&MobileMapPackager) {
                Ok(()) => out!("removed  {path} ({} bytes)", left.bytes),
                // One that cannot be removed does not keep the others.
                Err(failure) => stops.push(Stop::from(failure)),
            }
        }
    }
    let last = stops.pop();
    stops.iter().for_each(|stop| note!("offmap: {}", stop.message));
    last.map_or(Ok(0), Err)
}
