use std::os::unix::fs::PermissionsExt;

use super::*;

const YESTERDAY: Day = Day::of_seconds(20_000 * 86_400);
const TODAY: Day = Day::of_seconds(20_001 * 86_400);

/// A folder with the file `audit.ndjson`, or none yet.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("audit.ndjson")
    }

    fn open(&self, manner: Manner, today: Day) -> Output {
        Output::open(&self.path(), manner, today).unwrap()
    }

    /// Every file but the lock, with what it holds.
    fn files(&self) -> Vec<(String, String)> {
        let entries = std::fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries
            .filter(|path| !path.to_string_lossy().ends_with(".lock"))
            .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), read(&path)))
            .collect();
        files.sort();
        files
    }
}

/// What a file holds, decompressed where it is gzip; what stands behind the last whole member is left out.
fn read(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap();
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return String::from_utf8(bytes).unwrap();
    }
    let mut text = Vec::new();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let mut member = Vec::new();
        let mut decoder = flate2::bufread::GzDecoder::new(rest);
        if io::Read::read_to_end(&mut decoder, &mut member).is_err() {
            break;
        }
        text.extend(member);
        rest = decoder.into_inner();
    }
    String::from_utf8(text).unwrap()
}

fn manner() -> Manner {
    File::new("audit.ndjson").manner
}

fn held(files: &[(&str, &str)]) -> Vec<(String, String)> {
    files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn a_file_is_set_aside_before_it_grows_beyond_its_size_and_no_batch_is_divided() {
    let place = Place::new();
    let mut output = place.open(Manner { rotate_bytes: 6, ..manner() }, TODAY);
    for batch in ["1\n2\n", "3\n", "4\n", "5555\n66666\n", "7\n"] {
        output.append(batch.as_bytes(), TODAY).unwrap();
    }
    let day = TODAY.to_string();
    let name = |number: u32| format!("audit.{day}.{number:04}.ndjson");
    let expected =
        [(name(1), "1\n2\n3\n"), (name(2), "4\n"), (name(3), "5555\n66666\n"), ("audit.ndjson".to_owned(), "7\n")];
    assert_eq!(place.files(), expected.map(|(name, text)| (name, text.to_owned())));
}

#[test]
fn a_file_of_yesterday_is_set_aside_with_the_first_batch_of_today_and_named_after_its_own_day() {
    let place = Place::new();
    let mut output = place.open(manner(), YESTERDAY);
    output.append(b"1\n", YESTERDAY).unwrap();
    output.append(b"2\n", TODAY).unwrap();
    output.append(b"3\n", TODAY).unwrap();
    let aside = format!("audit.{YESTERDAY}.0001.ndjson");
    assert_eq!(place.files(), held(&[(&aside, "1\n"), ("audit.ndjson", "2\n3\n")]));
    // A clock that was set back begins no file for each batch.
    output.append(b"4\n", YESTERDAY).unwrap();
    assert_eq!(place.files(), held(&[(&aside, "1\n"), ("audit.ndjson", "2\n3\n4\n")]));
}

#[test]
fn one_that_is_not_to_be_set_aside_is_not() {
    let place = Place::new();
    let mut output = place.open(Manner { rotate_bytes: 0, rotates_daily: false, ..manner() }, YESTERDAY);
    output.append(b"1\n", YESTERDAY).unwrap();
    output.append(b"2\n", TODAY).unwrap();
    assert_eq!(place.files(), held(&[("audit.ndjson", "1\n2\n")]));
}

#[test]
fn no_file_that_was_set_aside_is_ever_written_over() {
    let place = Place::new();
    let aside = |number: u32| format!("audit.{TODAY}.{number:04}.ndjson");
    // Somebody compressed the first, and another one does not belong to us.
    for name in [aside(7), aside(1) + ".gz", format!("audit.{TODAY}.copy.ndjson")] {
        std::fs::write(place.0.path().join(name), "kept\n").unwrap();
    }
    let mut output = place.open(Manner { rotate_bytes: 1, ..manner() }, TODAY);
    output.append(b"1\n", TODAY).unwrap();
    output.append(b"2\n", TODAY).unwrap();
    assert_eq!(read(&place.0.path().join(aside(8))), "1\n");
    assert_eq!(place.files().iter().filter(|(_, text)| text == "kept\n").count(), 3);
}

#[test]
fn endings_stay_behind_the_day_whatever_the_name() {
    let folder = tempfile::tempdir().unwrap();
    for (name, expected) in [
        ("audit.ndjson", "audit.1970-01-01.0001.ndjson"),
        ("audit.ndjson.gz", "audit.1970-01-01.0001.ndjson.gz"),
        ("audit.gz", "audit.1970-01-01.0001.gz"),
        ("audit", "audit.1970-01-01.0001"),
        (".audit", ".audit.1970-01-01.0001"),
        ("a.b.log", "a.b.1970-01-01.0001.log"),
    ] {
        let aside = names::set_aside(&folder.path().join(name), Day::of_seconds(86_399)).unwrap();
        assert_eq!(aside.file_name().unwrap(), expected);
    }
}

#[test]
fn a_file_that_breaks_off_within_a_line_is_set_aside_as_it_is() {
    let place = Place::new();
    std::fs::write(place.path(), "1\n{\"half\":").unwrap();
    let day = Day::of_seconds(std::os::unix::fs::MetadataExt::mtime(&std::fs::metadata(place.path()).unwrap()));
    let mut output = place.open(manner(), day);
    output.append(b"2\n", day).unwrap();
    let aside = format!("audit.{day}.0001.ndjson");
    assert_eq!(place.files(), held(&[(&aside, "1\n{\"half\":"), ("audit.ndjson", "2\n")]));
    drop(output);
    // A whole one is gone on with.
    place.open(manner(), day).append(b"3\n", day).unwrap();
    assert_eq!(place.files(), held(&[(&aside, "1\n{\"half\":"), ("audit.ndjson", "2\n3\n")]));
}

#[test]
fn gzip_that_breaks_off_anywhere_is_set_aside_and_whole_gzip_is_gone_on_with() {
    let gzip = Manner { is_gzip: true, rotates_daily: false, ..manner() };
    let members = ["1\n2\n", "3\n"].map(|batch| Gzip::new().compress(batch.as_bytes()).unwrap().to_vec());
    let whole = members.concat();
    for length in 0..=whole.len() {
        let place = Place::new();
        std::fs::write(place.path(), &whole[..length]).unwrap();
        let mut output = place.open(gzip, TODAY);
        output.append(&members[1], TODAY).unwrap();
        let last = place.files().pop().unwrap().1;
        let expected = match length {
            _ if length == whole.len() => "1\n2\n3\n3\n",
            _ if length == members[0].len() => "1\n2\n3\n",
            _ => "3\n",
        };
        assert_eq!(last, expected, "{length} of {}", whole.len());
    }
}

#[test]
fn plain_lines_are_not_appended_to_gzip_nor_gzip_to_lines() {
    let member = Gzip::new().compress(b"1\n").unwrap().to_vec();
    for (there, is_gzip, bytes) in [(member.as_slice(), false, b"2\n".as_slice()), (b"1\n", true, member.as_slice())] {
        let place = Place::new();
        std::fs::write(place.path(), there).unwrap();
        place.open(Manner { is_gzip, ..manner() }, TODAY).append(bytes, TODAY).unwrap();
        let files = place.files();
        assert_eq!(files.len(), 2, "{files:?}");
        assert_eq!(std::fs::read(place.0.path().join(&files[0].0)).unwrap(), there);
        assert_eq!(std::fs::read(place.path()).unwrap(), bytes);
    }
}

#[test]
fn whoever_moves_the_file_away_or_removes_it_is_followed() {
    let place = Place::new();
    let mut output = place.open(manner(), TODAY);
    output.append(b"1\n", TODAY).unwrap();
    std::fs::rename(place.path(), place.0.path().join("moved")).unwrap();
    output.append(b"2\n", TODAY).unwrap();
    assert_eq!(place.files(), held(&[("audit.ndjson", "2\n"), ("moved", "1\n")]));
    std::fs::remove_file(place.path()).unwrap();
    output.append(b"3\n", TODAY).unwrap();
    assert_eq!(place.files(), held(&[("audit.ndjson", "3\n"), ("moved", "1\n")]));
}

#[test]
fn only_its_owner_reads_any_of_the_files() {
    let place = Place::new();
    let mut output = place.open(Manner { rotate_bytes: 1, ..manner() }, TODAY);
    output.append(b"1\n", TODAY).unwrap();
    output.append(b"2\n", TODAY).unwrap();
    for (name, _) in place.files() {
        let mode = std::fs::metadata(place.0.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn a_file_has_one_writer_and_the_next_once_it_is_done() {
    let place = Place::new();
    let first = place.open(manner(), TODAY);
    let error = Output::open(&place.path(), manner(), TODAY).unwrap_err();
    assert_eq!(error.to_string(), "this process uses it already");
    drop(first);
    drop(place.open(manner(), TODAY));
    assert_eq!(place.files(), held(&[("audit.ndjson", "")]));
}

#[test]
fn what_is_no_file_is_refused_with_a_reason() {
    let place = Place::new();
    let error = Output::open(place.0.path(), manner(), TODAY).unwrap_err();
    assert_eq!(error.to_string(), "neither a file nor a device: name a file");
    assert!(Output::open(&place.0.path().join("none/audit"), manner(), TODAY).is_err());
}

#[test]
fn a_disk_without_room_takes_nothing_and_says_so() {
    let mut full = Output::open(Path::new("/dev/full"), manner(), TODAY).unwrap();
    for _ in 0..2 {
        assert!(full.append(b"1\n", TODAY).unwrap_err().to_string().contains("No space left on device"));
    }
}
