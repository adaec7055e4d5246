//! `emalloc explain`, word for word.

use serde_json::json;

use crate::support::emalloc;

#[track_caller]
fn explains(words: &[&str], expected: &str) {
    let mut all = vec!["explain"];
    all.extend(words);
    let answer = emalloc(&all).ended_with(0);
    assert_eq!(answer.stdout, expected);
}

#[test]
fn a_small_request() {
    explains(
        &["100"],
        "\
100 bytes:
  small    size class 12, blocks of 104 bytes
  waste    4 bytes (3.8%)
  run      1 page, 4,096 bytes: 39 blocks, 40 bytes left over

  aaaaaaaaaaaaabbbbbbbbbbbbbcccccccccccccdddddddddddddeeeeeeeeeeee
  (a character is 8 bytes, the first 512 of the run's; a, b, ... the blocks)
",
    );
}

#[test]
fn a_run_of_several_pages() {
    explains(
        &["1700"],
        "\
1,700 bytes:
  small    size class 30, blocks of 1,792 bytes
  waste    92 bytes (5.1%)
  run      4 pages, 16,384 bytes: 9 blocks, 256 bytes left over

  aaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbbbbbbb-cccccccc
  ccccccccccccccccccc-ddddddddddddddddddddddddddd-eeeeeeeeeeeeeeee
  eeeeeeeeeee-fffffffffffffffffffffffffff-gggggggggggggggggggggggg
  ggg-hhhhhhhhhhhhhhhhhhhhhhhhhhh-iiiiiiiiiiiiiiiiiiiiiiiiiii-....
  (a character is 64 bytes; a, b, ... the blocks, - not asked for, . left over)
",
    );
}

#[test]
fn nothing_at_all_and_a_large_request() {
    explains(
        &["0", "5000"],
        "\
0 bytes:
  small    size class 0, blocks of 8 bytes
  waste    8 bytes (100.0%)
  run      1 page, 4,096 bytes: 512 blocks, nothing left over

  ----------------------------------------------------------------
  (a character is 8 bytes, the first 512 of the run's; a, b, ... the blocks, - not asked for)

5,000 bytes:
  large    2 pages of its own, 8,192 bytes, in a segment of 256 KiB
  waste    3,192 bytes (39.0%)

  H##.............................................................
  (a character is a page; H header, # the block, . free)
",
    );
}

#[test]
fn the_segment_size_decides_what_is_huge() {
    explains(
        &["1M"],
        "\
1,048,576 bytes:
  huge     too large for a segment of 256 KiB, so it gets one of its own
  taken    1,052,672 bytes, 4,096 bytes of it in front of the block
  waste    4,096 bytes (0.4%)
           (at a limit, from a storage that deals in pages; far from it up to an eighth
           more, so that the block may grow)
",
    );
    let answer = emalloc(&["explain", "--segment-size", "2M", "1M"]).ended_with(0);
    assert!(
        answer
            .stdout
            .contains("  large    256 pages of its own, 1,048,576 bytes, in a segment of 2 MiB\n")
    );
    let answer = emalloc(&["explain", &usize::MAX.to_string()]).ended_with(0);
    assert!(answer.stdout.contains("refused"));
}

#[test]
fn json_has_the_same() {
    let answer = emalloc(&["explain", "--json", "1000", "5K", "4092KiB"]).ended_with(0);
    let expected = json!({
        "schema_version": 1,
        "command": "explain",
        "segment_size": 262_144,
        "requests": [
            {
                "bytes": 1000, "kind": "small", "class": 27, "block_size": 1024, "waste": 24,
                "waste_fraction": 24.0 / 1024.0, "run_pages": 1, "blocks_per_run": 4, "run_waste": 0,
            },
            {
                "bytes": 5120, "kind": "large", "pages": 2, "block_size": 8192, "waste": 3072,
                "waste_fraction": 0.375,
            },
            {
                "bytes": 4_190_208, "kind": "huge", "header": 4096, "grant": 4 << 20, "waste": 4096,
                "waste_fraction": 1.0 / 1024.0,
            },
        ],
    });
    assert_eq!(answer.json(), expected);
}

#[test]
fn what_is_no_size_is_wrong_usage() {
    for word in ["", "many", "-5", "12 apples"] {
        emalloc(&["explain", word]).ended_with(2);
    }
    let answer = emalloc(&["explain", "99999999999999999999"]).ended_with(2);
    assert!(answer.stderr.contains("below 2^"), "{}", answer.stderr);
    emalloc(&["explain"]).ended_with(2);
}
