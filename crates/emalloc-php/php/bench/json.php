<?php
// Big documents, encoded and decoded.
[, $rounds] = $argv;
mt_srand(1);
$rows = [];
for ($i = 0; $i < 40000; $i++) {
    $rows[] = [
        "id" => $i,
        "name" => "row number $i",
        "price" => mt_rand(0, 100000) / 100,
        "tags" => ["a" . $i % 7, "b" . $i % 11, str_repeat("t", $i % 40)],
        "at" => ["x" => mt_rand(0, 999), "y" => mt_rand(0, 999), "note" => null],
    ];
}
$text = json_encode($rows);
$rows = null;
for ($round = 0; $round < $rounds; $round++) {
    $text = json_encode(json_decode($text, $round % 2 == 0));
}
echo strlen($text), " ", md5($text), "\n";
