//! What is read of data, and what is refused with which words.

use std::io::Write;

use super::*;

/// A directory with files of these contents, gzipped.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        let file = std::fs::File::create(directory.path().join(name)).expect("a file");
        let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()).expect("written");
    }
    directory
}

const ADULTS: &str = "39, State-gov, 77516, Bachelors, 13, Never-married, ?, Not-in-family, White, Male, 2174, 0, 40, United-States, <=50K\n";
const TESTED: &str = "|1x3 Cross validator\n\
    25, Private, 226802, 11th, 7, Never-married, Sales, Own-child, Black, Male, 0, 0, 40, United-States, >50K.\n";

#[test]
fn rows_of_both_files_are_read_with_texts_numbers_and_what_is_missing() {
    let data = directory(&[("adult.data.gz", ADULTS), ("adult.test.gz", TESTED)]);
    let table = DataSet::Adult.read(&[data.path().to_path_buf()], 2).expect("readable");
    assert_eq!(table.classes, [0, 1]);
    let column = |name: &str| &table.columns.iter().find(|column| column.name == name).expect("an attribute").values;
    let Values::Numbers(ages) = column("age") else { panic!("numbers") };
    assert_eq!(ages, &[Some(39.0), Some(25.0)]);
    let Values::Texts { levels, places } = column("occupation") else { panic!("texts") };
    assert_eq!((&levels[..], &places[..]), (&["Sales".to_owned()][..], &[None, Some(0)][..]));
}

#[test]
fn refusals_name_file_row_and_reason() {
    let adults = |text: &str| directory(&[("adult.data.gz", text), ("adult.test.gz", TESTED)]);
    let cases = [
        (adults(&ADULTS.replace("39,", "old,")), 1, "adult.data.gz: row 1: age is \"old\""),
        (adults(&ADULTS.replace("<=50K", "rich")), 1, "the class \"rich\""),
        (adults("1, 2\n"), 1, "2 fields, not 15"),
        (adults(ADULTS), 3, "3 visitors: the data has 2 rows"),
        (directory(&[("adult.data.gz", ADULTS)]), 1, "adult.test.gz is not among"),
    ];
    for (data, visitors, words) in cases {
        let refused = DataSet::Adult.read(&[data.path().to_path_buf()], visitors).expect_err(words).to_string();
        assert!(refused.contains(words), "{words:?} is not in: {refused}");
    }
    let plain = tempfile::tempdir().expect("a directory");
    std::fs::write(plain.path().join("shuttle.csv.gz"), "V1,V2\n").expect("written");
    let refused = DataSet::Shuttle.read(&[plain.path().join("shuttle.csv.gz")], 1).expect_err("not gzipped");
    assert!(matches!(refused, DataError::Unreadable { .. }), "{refused}");
}

#[test]
fn the_data_beside_the_project_has_the_rows_it_is_said_to_have() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/classification");
    if !data.is_dir() {
        eprintln!("{} is not there: nothing of it is tested", data.display());
        return;
    }
    for (set, rows, most) in
        [(DataSet::Mushroom, 8_124, 4_208), (DataSet::Adult, 48_842, 37_155), (DataSet::Shuttle, 58_000, 45_586)]
    {
        let table = set.read(std::slice::from_ref(&data), 1).unwrap_or_else(|error| panic!("{error}"));
        let of_first = table.classes.iter().filter(|class| **class == 0).count();
        assert_eq!((table.classes.len(), of_first, table.columns.len()), (rows, most, set.attributes().len()));
    }
}
