//! Every example, over its own data, row by row against an oracle; in one slot and in four.

use crate::harness::{self, Home, Rows, Run, csv, examples, parquet_columns};
use lockgate_core::Digest;
use lockgate_core::manifest::Manifest;
use lockgate_taskmanager::job::Prepared;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The manifest of an example.
fn manifest(example: &str) -> Manifest {
    let path = examples().join(example).join("lockgate.toml");
    harness::manifest(&std::fs::read_to_string(&path).unwrap())
}

/// The example's job, its manifest changed by `change`.
fn prepare(example: &str, change: impl Fn(&mut Manifest)) -> Prepared {
    let mut manifest = manifest(example);
    change(&mut manifest);
    harness::prepare_manifest(manifest, &[(example, harness::part(example))]).unwrap()
}

/// Runs a job in so many slots.
fn run(job: &Prepared, slots: u32) -> Home {
    let home = Home::new();
    let ran = home.run_as(job, Run { slots, ..Run::default() });
    assert!(ran.report().finished);
    home
}

fn data(name: &str) -> String {
    std::fs::read_to_string(examples().join("data").join(name)).unwrap()
}

/// Whether the slots together have written every split's rows, whole and in order, each split once.
fn assert_splits(slots: BTreeMap<u32, Rows>, mut splits: Vec<Rows>) {
    for (slot, rows) in slots {
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let found = splits.iter().position(|split| !split.is_empty() && rest.starts_with(split));
            let found = found.unwrap_or_else(|| panic!("slot {slot}: no split begins with {:?}", rest.first()));
            rest = &rest[splits.swap_remove(found).len()..];
        }
    }
    splits.retain(|split| !split.is_empty());
    assert!(splits.is_empty(), "{} splits are missing, one begins with {:?}", splits.len(), splits[0].first());
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

/// What is compared of a dead letter.
fn letters(home: &Home, folder: &str) -> Vec<(String, u64, String)> {
    let rows = home.rows(folder);
    rows.iter()
        .map(|letter| {
            let text = |key: &str| letter[key].as_str().unwrap().to_owned();
            assert_eq!(letter["code"], "LG0650");
            assert!(letter["fuel"].as_u64().unwrap() > 0);
            (text("split"), letter["row"].as_u64().unwrap(), text("message"))
        })
        .collect()
}

#[test]
fn flights_are_scored() {
    const FILES: [&str; 4] = ["2013/01.parquet", "2013/02.parquet", "2013/05.parquet", "2013/12.parquet"];
    const KEPT: [&str; 7] = ["time_hour", "carrier", "flight", "origin", "dest", "dep_delay", "arr_delay"];
    let (mut late, mut dead) = (Vec::new(), Vec::new());
    for file in FILES {
        let mut rows = Rows::new();
        let path = examples().join("data/flights").join(file);
        let input = parquet_columns(&path, &[&KEPT[..], &["air_time", "distance"]].concat());
        for (at, mut flight) in input.into_iter().enumerate() {
            let number = |key: &str| flight[key].as_i64();
            let (Some(departure), Some(arrival)) = (number("dep_delay"), number("arr_delay")) else { continue };
            let (air, distance) = (number("air_time"), number("distance").unwrap());
            let speed = air.map(|minutes| distance as f64 / (minutes as f64 / 60.0));
            if speed.is_some_and(|speed| speed > 650.0) {
                let message = format!("{distance} miles in {} minutes", air.unwrap());
                dead.push((format!("flights/{file}"), at as u64, message));
                continue;
            }
            let score = arrival as f64 + 0.3 * departure as f64;
            if score > 120.0 {
                flight.retain(|name, _| KEPT.contains(&name.as_str()));
                flight.extend(object(json!({"score": score, "made_up": departure - arrival, "speed": speed})));
                rows.push(flight);
            }
        }
        assert!(rows.len() > 100, "{file} has {} late flights", rows.len());
        late.push(rows);
    }
    assert!(!dead.is_empty());
    let job = prepare("flights", |manifest| {
        let source = manifest.source.values_mut().next().unwrap();
        source.path = Some("2013/{01,02,05,12}.parquet".into());
    });
    let home = run(&job, 1);
    assert_eq!(home.rows("late"), late.concat());
    assert_eq!(letters(&home, "late-dead"), dead);
    for letter in home.rows("late-dead") {
        let component = Digest::of(&harness::part("flights").wasm).to_string();
        assert_eq!([&letter["node"], &letter["component"], &letter["function"]], ["score", &*component, "score"]);
        let input: Value = serde_json::from_str(letter["input"].as_str().unwrap()).unwrap();
        let said = format!("{} miles in {} minutes", input["distance"], input["air_time"]);
        assert_eq!(letter["message"], Value::String(said));
    }
    let home = run(&job, 4);
    assert_splits(home.read("late"), late);
    let mut found = letters(&home, "late-dead");
    found.sort();
    assert_eq!(found, dead);
}

#[test]
fn names_are_mended() {
    let capital = |part: &str| {
        let mut before = '-';
        let mend = |character: char| {
            let up = matches!(std::mem::replace(&mut before, character), '-' | '\'');
            if up { character.to_uppercase().to_string() } else { character.to_lowercase().to_string() }
        };
        part.chars().map(mend).collect::<String>()
    };
    let words = |text: &str| text.split_whitespace().map(capital).collect::<Vec<_>>().join(" ");
    let shown = |text: String| if text.is_empty() { Value::Null } else { Value::String(text) };
    let (mut mended, mut dead) = (Rows::new(), Vec::new());
    // The data's own addresses are all good; these are not, or are not there.
    let input = data("names.csv")
        + "201,Eva,eva@home,Ulm\n202,Ida,,Bonn\n203,\"Li, An\",an@li@example.org,\n204,,@example.org,Rom\n";
    for (at, person) in csv(&input).into_iter().enumerate() {
        let text = |key: &str| person[key].as_str();
        let address = text("email").map(|email| email.trim().to_owned());
        let wrong = |email: &str| {
            let parts: Vec<&str> = email.split('@').collect();
            parts.len() != 2 || parts[0].is_empty() || !parts[1].contains('.')
        };
        if let Some(email) = address.as_deref().filter(|email| wrong(email)) {
            dead.push(("people/names.csv".to_owned(), at as u64, format!("{email:?} is no address")));
            continue;
        }
        let name = text("name").map(|name| match name.split_once(',') {
            Some((last, first)) => words(&format!("{first} {last}")),
            None => words(name),
        });
        mended.push(object(json!({
            "id": person["id"],
            "full_name": shown(name.unwrap_or_default()),
            "address": shown(address.unwrap_or_default().to_lowercase()),
            "town": shown(words(text("city").unwrap_or_default())),
        })));
    }
    assert_eq!((mended.len(), dead.len()), (201, 3));
    let job = prepare("cleanup", |manifest| {
        manifest.source.values_mut().next().unwrap().volume = Some("in".parse().unwrap());
    });
    let home = Home::new();
    home.write("names.csv", input.as_bytes());
    assert!(home.run(&job).report().finished);
    assert_eq!(home.rows("names"), mended);
    assert_eq!(letters(&home, "names-dead"), dead);
}

#[test]
fn events_are_parsed() {
    use time::format_description::well_known::Rfc3339;
    let event = |line: &str| -> Option<Map<String, Value>> {
        let event: Map<String, Value> = serde_json::from_str(line).ok()?;
        let text = |key: &str| event.get(key).filter(|value| value.is_string()).cloned();
        let optional = |key: &str| event.get(key).cloned().unwrap_or_default();
        let at = time::OffsetDateTime::parse(event.get("at")?.as_str()?, &Rfc3339).ok()?;
        let amount = optional("amount");
        let currency = optional("currency");
        if !(amount.is_null() || amount.is_number()) || !(currency.is_null() || currency.is_string()) {
            return None;
        }
        Some(object(json!({
            "id": event.get("id")?.as_i64()?,
            "at": i64::try_from(at.unix_timestamp_nanos() / 1_000).unwrap(),
            "user": text("user")?,
            "kind": text("kind")?,
            "page": text("page")?,
            "amount": amount.as_f64(),
            "currency": currency,
        })))
    };
    let (mut parsed, mut dead) = (Rows::new(), Vec::new());
    for (at, line) in data("events.jsonl").lines().enumerate() {
        match event(line) {
            Some(event) => parsed.push(event),
            None if line.trim().is_empty() => {}
            None => dead.push((at as u64, line.to_owned())),
        }
    }
    assert!(!dead.is_empty());
    let home = run(&prepare("json", |_| ()), 1);
    assert_eq!(home.rows("events"), parsed);
    let letters = home.rows("events-dead");
    let found: Vec<(u64, String)> = letters
        .iter()
        .map(|letter| {
            let input: Value = serde_json::from_str(letter["input"].as_str().unwrap()).unwrap();
            (letter["row"].as_u64().unwrap(), input["line"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(found, dead);
}

#[test]
fn prose_is_split_into_words() {
    let mut words = Rows::new();
    for line in data("prose.txt").lines() {
        for word in line.split_whitespace() {
            let word = word.trim_matches(|character: char| !character.is_alphanumeric());
            if !word.is_empty() {
                words.push(object(json!({"word": word, "length": word.chars().count().to_string()})));
            }
        }
    }
    assert!(words.len() > 200, "{} words", words.len());
    let home = run(&prepare("words", |_| ()), 1);
    assert_eq!(home.rows("words"), words);
}

#[test]
fn nexmark_query_14_is_computed() {
    // The bids themselves, through no function.
    let bids = harness::prepare(
        r#"
        [job]
        tenant = "examples"
        name = "bids"
        version = 1
        [source.bids]
        connector = "nexmark"
        table = "bid"
        events = 20_000
        splits = 4
        [sink.all]
        input = "bids"
        connector = "file"
        volume = "out"
        path = "bids/"
        format = "parquet"
        "#,
        &[],
    );
    let bids = run(&bids.unwrap(), 1).rows("bids");
    assert!(bids.len() > 18_000);
    let mut expected = Rows::new();
    for mut bid in bids {
        let euros = bid["price"].as_i64().unwrap() as f64 * 0.908;
        if euros <= 1_000_000.0 || euros >= 50_000_000.0 {
            continue;
        }
        let hour = bid["date_time"].as_i64().unwrap() / 3_600_000_000 % 24;
        let kind = match hour {
            8..=18 => "dayTime",
            7 | 19 => "otherTime",
            _ => "nightTime",
        };
        let letters = bid["extra"].as_str().unwrap().matches('c').count();
        bid.retain(|name, _| ["auction", "bidder", "date_time", "extra"].contains(&name.as_str()));
        bid.extend(object(json!({"price_eur": euros, "bid_time_type": kind, "c_counts": letters as i64})));
        expected.push(bid);
    }
    assert!(expected.len() > 100);
    let job = prepare("nexmark", |manifest| {
        let source = manifest.source.values_mut().next().unwrap();
        (source.events, source.splits) = (Some(20_000), Some(4));
        let sink = manifest.sink.values_mut().next().unwrap();
        sink.connector = "file".into();
        (sink.volume, sink.path) = (Some("out".parse().unwrap()), Some("q14".into()));
        sink.format = Some("parquet".into());
    });
    assert_eq!(run(&job, 1).rows("q14"), expected);
    let sorted = |rows: Rows| {
        let mut rows: Vec<String> = rows.into_iter().map(|row| Value::Object(row).to_string()).collect();
        rows.sort();
        rows
    };
    assert_eq!(sorted(run(&job, 4).rows("q14")), sorted(expected));
}
