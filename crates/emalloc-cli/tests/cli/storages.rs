//! `emalloc storages`.

use emalloc::storage::registry;

use crate::support::emalloc;

#[test]
fn all_are_listed_in_order_and_pass() {
    let answer = emalloc(&["storages"]).ended_with(0);
    let names = registry::entries().map(|entry| entry.name);
    let rows: Vec<&str> = answer.stdout.lines().skip(1).collect();
    for (name, row) in names.zip(&rows) {
        assert!(row.starts_with(name) && row.contains(" passed, "), "{row}");
    }
    let default = registry::default_entry().name;
    assert!(rows[0].starts_with(&format!("{default} *")), "{}", rows[0]);
    for name in ["fixed", "cached", "regions", "budget", "counting"] {
        let row = rows.iter().find(|row| row.starts_with(name));
        assert!(
            row.is_some_and(|row| row.contains(" passed, ")),
            "{name}: {row:?}"
        );
    }
    for row in rows {
        assert!(row.len() <= 100, "{row}");
    }
}

#[test]
fn json_says_what_they_can_do() {
    let answer = emalloc(&["storages", "--json"]).ended_with(0).json();
    assert_eq!(
        (&answer["schema_version"], &answer["command"]),
        (&1.into(), &"storages".into())
    );
    let storages = answer["storages"].as_array().unwrap();
    assert_eq!(storages.len(), registry::entries().count() + 5);
    for (index, storage) in storages.iter().enumerate() {
        assert_eq!(storage["default"], index == 0);
        for key in [
            "zeroed",
            "grow_in_place",
            "shrink_in_place",
            "discard",
            "move_without_copy",
            "divisible",
        ] {
            assert!(
                storage["capabilities"][key].is_boolean(),
                "{key}: {storage}"
            );
        }
        assert!(
            storage["capabilities"]["granularity"]
                .as_u64()
                .unwrap()
                .is_power_of_two()
        );
        let verdict = &storage["conformance"];
        assert_eq!(
            (&verdict["passed"], &verdict["failure"]),
            (&true.into(), &().into())
        );
        assert!(verdict["checks"].as_u64() > Some(100) && verdict["grants"].as_u64() > Some(30));
    }
}

#[test]
fn listing_alone_tests_nothing() {
    let text = emalloc(&["storages", "--no-test"]).ended_with(0);
    assert!(text.stdout.contains("not run") && !text.stdout.contains("passed"));
    let answer = emalloc(&["storages", "--no-test", "--json"])
        .ended_with(0)
        .json();
    assert!(answer["storages"][0].get("conformance").is_none());
}
