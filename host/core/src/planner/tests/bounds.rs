//! How much one manifest may ask for: nodes, columns, ways, and what one batch holds.

use super::*;

#[test]
fn the_graph_is_bounded() {
    let sinks: String =
        (0..254).map(|n| format!("[sink.s{n}]\ninput = \"score\"\nconnector = \"discard\"\n")).collect();
    assert_eq!(codes(plan_with(&(GOOD.to_owned() + &sinks), described(), &[])), [code::TOO_MANY]);
    let columns: Vec<String> = (0..1_001).map(|n| format!("\"c{n}: int8\"")).collect();
    let wide = GOOD.replace("\"carrier: utf8\", ", &format!("{}, \"carrier: utf8\", ", columns.join(", ")));
    assert_eq!(codes(plan_with(&wide, described(), &[]))[0], code::TOO_MANY);
    // A thousand mistakes are not all looked for.
    let unknown: Vec<String> = (0..1_000).map(|n| format!("\"u{n}\"")).collect();
    let wrong = GOOD.replace("on-overrun", &format!("keep = [{}]\non-overrun", unknown.join(", ")));
    assert_eq!(codes(plan_with(&wrong, described(), &[])).len(), MAX_ERRORS);
    // Few columns each, too many in all.
    let columns: Vec<String> = (0..900).map(|n| format!("\"c{n}: int8\"")).collect();
    let many: String = (0..80)
        .map(|n| format!("[operator.o{n}]\ninput = \"score\"\nfunction = \"delays/drop\"\n[sink.s{n}]\ninput = \"o{n}\"\nconnector = \"discard\"\n"))
        .collect();
    let deep = GOOD.replace("\"carrier: utf8\", ", &format!("{}, \"carrier: utf8\", ", columns.join(", "))) + &many;
    assert_eq!(codes(plan_with(&deep, described(), &[]))[0], code::TOO_MANY);
}

#[test]
fn ways_through_the_graph_do_not_multiply() {
    let source =
        "[job]\ntenant = \"a\"\nname = \"b\"\nversion = 1\n[source.s]\nconnector = \"stdin\"\nformat = \"lines\"\n";
    let forked = |forks: u32| {
        let mut text = source.to_owned();
        let mut before = "\"s\"".to_owned();
        for fork in 0..forks {
            for side in ["l", "r"] {
                text += &format!("[operator.{side}{fork}]\ninputs = [{before}]\nselect = [\"line\"]\n");
            }
            before = format!("\"l{fork}\", \"r{fork}\"");
        }
        text + &format!("[sink.out]\ninputs = [{before}]\nconnector = \"discard\"\n")
    };
    assert!(plan_with(&forked(10), Vec::new(), &[]).is_ok());
    assert_eq!(codes(plan_with(&forked(11), Vec::new(), &[])), [code::TOO_MANY]);
    assert_eq!(codes(plan_with(&forked(100), Vec::new(), &[])), [code::TOO_MANY]);
}

#[test]
fn what_one_batch_can_hold_is_bounded() {
    let plan = |rows: u32, columns: usize| {
        let columns: Vec<String> = (0..columns).map(|n| format!("\"c{n}: int8?\"")).collect();
        let text = format!(
            "[job]\ntenant = \"a\"\nname = \"b\"\nversion = 1\nbatch-rows = {rows}\n[source.s]\nconnector = \"stdin\"\n\
             format = \"json\"\nschema = [{}]\n[sink.out]\ninput = \"s\"\nconnector = \"discard\"\n",
            columns.join(", ")
        );
        plan_with(&text, Vec::new(), &[])
    };
    assert!(plan(8_192, 1_000).is_ok() && plan(65_536, 128).is_ok());
    assert_eq!(codes(plan(65_536, 129)), [code::TOO_MANY]);
}

#[test]
fn batches_made_beforehand_are_few_or_small() {
    let plan = |rows: u32, prepared: u32| {
        let text = format!(
            "[job]\ntenant = \"a\"\nname = \"b\"\nversion = 1\nbatch-rows = {rows}\n[source.s]\nconnector = \"nexmark\"\n\
             table = \"bid\"\nprepared = {prepared}\n[sink.out]\ninput = \"s\"\nconnector = \"discard\"\n"
        );
        plan_with(&text, Vec::new(), &[])
    };
    assert!(plan(8_192, 128).is_ok() && plan(256, 4_096).is_ok());
    assert_eq!(codes(plan(8_192, 129)), [code::VALUE_OUT_OF_RANGE]);
    assert_eq!(codes(plan(65_536, 4_096)), [code::VALUE_OUT_OF_RANGE]);
}
