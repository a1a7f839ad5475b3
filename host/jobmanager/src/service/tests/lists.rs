//! Lists: pages that miss nothing and repeat nothing, filters, and cursors that open nothing else.

use crate::service::Filter;
use crate::service::tenants::NewTenant;
use crate::world::{World, name, operator};
use lockgate_core::error::code;
use std::collections::BTreeMap;

async fn world() -> World {
    let world = World::empty().await;
    for n in 0..25 {
        let labels = BTreeMap::from([("even".to_owned(), (n % 2 == 0).to_string())]);
        let new = NewTenant { name: name(&format!("{}-{n:02}", if n < 20 { "t" } else { "u" })), labels };
        world.service.create_tenant(&operator(), None, &new).await.unwrap();
    }
    world
}

/// The names on each page.
async fn pages(world: &World, filter: Filter) -> Vec<Vec<String>> {
    let (mut pages, mut filter) = (Vec::new(), filter);
    loop {
        let page = world.service.tenants(&operator(), &filter).await.unwrap();
        pages.push(page.items.into_iter().map(|kept| kept.record.name.to_string()).collect());
        match page.next {
            Some(next) => filter.cursor = Some(next),
            None => return pages,
        }
    }
}

#[tokio::test]
async fn pages_miss_nothing_and_repeat_nothing() {
    let world = world().await;
    for limit in [1, 2, 7, 24, 25, 26, 200] {
        let pages = pages(&world, Filter { limit, ..Filter::default() }).await;
        assert_eq!(pages.len(), 25_usize.div_ceil(limit), "{limit}");
        let all: Vec<String> = pages.concat();
        assert_eq!(all.len(), 25, "{limit}");
        assert!(all.is_sorted_by(|a, b| a < b), "{limit}");
    }
}

#[tokio::test]
async fn filters_narrow() {
    let world = world().await;
    let count = |filter| {
        let world = &world;
        async move { pages(world, filter).await.concat().len() }
    };
    let all = || Filter { limit: 3, ..Filter::default() };
    assert_eq!(count(Filter { name: Some("u-".into()), ..all() }).await, 5);
    assert_eq!(count(Filter { labels: BTreeMap::from([("even".into(), "true".into())]), ..all() }).await, 13);
    assert_eq!(count(Filter { states: vec!["suspended".into()], ..all() }).await, 0);
    assert_eq!(count(Filter { states: vec!["suspended".into(), "active".into()], ..all() }).await, 25);
    assert_eq!(count(Filter { labels: BTreeMap::from([("odd".into(), "true".into())]), ..all() }).await, 0);
}

#[tokio::test]
async fn a_cursor_belongs_to_its_list_and_its_caller() {
    let world = world().await;
    let filter = Filter { limit: 3, ..Filter::default() };
    let next = world.service.tenants(&operator(), &filter).await.unwrap().next.unwrap();
    let with = |cursor: String| Filter { cursor: Some(cursor), ..filter.clone() };
    assert!(world.service.tenants(&operator(), &with(next.clone())).await.is_ok());
    assert!(world.reopened().await.tenants(&operator(), &with(next.clone())).await.is_ok(), "after a restart");
    let mut other = operator();
    other.caller.principal = "user:other".into();
    let mut refused = vec![world.service.tenants(&other, &with(next.clone())).await];
    let narrowed = Filter { name: Some("t".into()), ..with(next.clone()) };
    refused.push(world.service.tenants(&operator(), &narrowed).await);
    for at in 0..next.len() {
        let mut forged = next.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        refused.push(world.service.tenants(&operator(), &with(String::from_utf8(forged).unwrap())).await);
    }
    for cursor in ["", "x", "é", &"A".repeat(5_000)] {
        refused.push(world.service.tenants(&operator(), &with(cursor.to_owned())).await);
    }
    for result in refused {
        assert_eq!(result.unwrap_err().code(), code::INVALID_CURSOR);
    }
}
