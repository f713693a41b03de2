//! `mabel profiles import` against a real server: types found or asked for, refusals by line, the exit code.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use support::site::Site;

fn import(site: &Site, file: &Path, arguments: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_mabel"))
        .args(["profiles", "import", "--server", site.client.base(), "--id-column", "id"])
        .args(arguments)
        .arg(file)
        .env_remove("MABEL_KEY")
        .output()
        .expect("the binary runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, told)
}

#[test]
fn rows_become_profiles_and_what_is_refused_is_told_by_its_line() {
    let site = Site::new();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("crm.csv");
    let mut text = String::from("id,City,orders,active,zip\n");
    for number in 2..=2_502 {
        text += &format!("user-{number},\"Lyon, Rhône\",{number},true,01000\n");
    }
    text += "short,row\n,Nice,1,false,06000\nlast,,7,false,06000\n";
    std::fs::write(&file, text).expect("written");
    let (output, told) = import(&site, &file, &[]);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("nothing was sent") && told.contains("\"zip\"") && !told.contains("\"City\""), "{told}");
    assert_eq!(site.client.get("/v1/visitors/user-2")["profile"], Value::Null);
    let (output, told) = import(&site, &file, &["--map", "City=city:text", "--map", "zip=zip:text"]);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("2502 profiles recorded, 2 rows refused"), "{told}");
    assert!(told.contains("line 2503: ") && told.contains("line 2504: "), "{told}");
    let expected = json!({"city": "Lyon, Rhône", "orders": 2_502, "active": true, "zip": "01000"});
    assert_eq!(site.client.get("/v1/visitors/user-2502")["profile"], expected);
    assert_eq!(site.client.get("/v1/visitors/last")["profile"], json!({"orders": 7, "active": false, "zip": "06000"}));
    std::fs::write(&file, "id,tier\na,gold\n").expect("written");
    let (output, told) = import(&site, &file, &[]);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let (output, told) = import(&site, &file, &["--map", "Tier=tier:text"]);
    assert!(output.status.code() == Some(1) && told.contains("there is no column \"Tier\""), "{told}");
}
