<?php
// Arrays that grow, are sorted, sliced, merged and thrown away.
[, $rounds] = $argv;
mt_srand(2);
$sum = 0;
for ($round = 0; $round < $rounds; $round++) {
    $list = [];
    for ($i = 0; $i < 100000; $i++) {
        $list[] = mt_rand(0, 999999);
    }
    sort($list);
    $map = [];
    foreach ($list as $i => $number) {
        $map["k$number"][] = $i;
    }
    foreach (array_chunk($list, 50) as $chunk) {
        $sum += array_sum(array_map(fn ($number) => $number >> 3, array_slice($chunk, 5, 20)));
    }
    $merged = array_merge(array_values($map), array_fill(0, 1000, [$round]));
    $sum += count(array_count_values(array_map("count", $merged)));
    $map = array_filter($map, fn ($places) => count($places) > 1);
    ksort($map);
    $sum += count($map);
}
echo $sum, "\n";
