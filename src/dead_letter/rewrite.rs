//! What a replay leaves of a dead letter: what was delivered is taken out, what failed again has its new cause, and every
//! other line stays as it is, damaged ones too.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::journal::{Fates, Folded};
use super::read::{Lines, RawLine};
use super::record::Record;
use crate::append::{beside, sync_folder};

/// Puts what is left in the file's place; where nothing is, the file is removed. Returns how many lines are left.
///
/// Whenever it is interrupted, the file is the old one or the new one, whole.
///
/// # Errors
/// When it cannot be written; then the file is as it was.
pub(crate) fn rewrite(path: &Path, fates: &mut Fates) -> io::Result<u64> {
    let new = beside(path, ".new");
    let written = write(path, &new, fates);
    let left = match written {
        Ok(0) => std::fs::remove_file(path).and_then(|()| std::fs::remove_file(&new)).map(|()| 0),
        Ok(left) => std::fs::rename(&new, path).map(|()| left),
        Err(error) => Err(error),
    };
    if left.is_err() {
        // Half a file is of no use to anybody.
        drop(std::fs::remove_file(&new));
    }
    let left = left?;
    sync_folder(path)?;
    Ok(left)
}

fn write(path: &Path, new: &Path, fates: &mut Fates) -> io::Result<u64> {
    let mut old = File::open(path)?;
    let out = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(new)?;
    out.set_permissions(old.metadata()?.permissions())?;
    let mut out = BufWriter::with_capacity(256 * 1024, out);
    let mut lines = Lines::open(path)?;
    let mut left = 0;
    while let Some(RawLine { at, bytes, text, .. }) = lines.next()? {
        let folded = match text.as_ref().map(|text| Record::parse(text)) {
            Ok(Ok(record)) => fates.fold(&record),
            _ => Folded::Same,
        };
        match (folded, text) {
            (Folded::Gone, _) => continue,
            (Folded::Now(line), _) => out.write_all(&line)?,
            (Folded::Same, Ok(text)) => {
                out.write_all(text)?;
                out.write_all(b"\n")?;
            }
            // Too long to be held, or without an end.
            (Folded::Same, Err(_)) => {
                old.seek(SeekFrom::Start(at))?;
                io::copy(&mut (&mut old).take(bytes), &mut out)?;
            }
        }
        left += 1;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(left)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::{Attempts, Origin, Records, Since};
    use super::*;
    use crate::event::{AuditEvent, EventId, EventType, Severity};
    use crate::siem::{Cause, CauseKind};

    fn line(number: u128) -> String {
        let origin = Origin { pipeline: "p".into(), siem_type: "splunk", destination: "d".into() };
        let mut records = Records::new(&origin);
        records.attempted(&Attempts::none(Cause::new(CauseKind::Rejected)));
        let event = AuditEvent::builder(EventType::UserLogin, Severity::Low).id(EventId::from_u128(number)).build();
        records.push_event(&event, None);
        String::from_utf8(records.fitting(u64::MAX).1.to_vec()).unwrap()
    }

    #[test]
    fn what_was_delivered_goes_and_every_other_line_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.ndjson");
        let (one, two, three, four) = (line(1), line(2), line(3), line(4));
        std::fs::write(&path, format!("{one}garbage\n{two}\n{one}{three}{four}{three}{{\"torn\":")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let mut fates = Fates::default();
        fates.deliver(EventId::from_u128(1));
        fates.fail(EventId::from_u128(3), Since::DOUBT);
        assert_eq!(rewrite(&path, &mut fates).unwrap(), 7);
        let doubtful = three.replace("\"possible_duplicate\":false", "\"possible_duplicate\":true");
        let expected = format!("garbage\n{two}\n{doubtful}{four}{three}{{\"torn\":");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_of_which_nothing_is_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.ndjson");
        std::fs::write(&path, line(1)).unwrap();
        let mut fates = Fates::default();
        fates.deliver(EventId::from_u128(1));
        assert_eq!(rewrite(&path, &mut fates).unwrap(), 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
