<?php
// A big document, decoded and encoded again, as it is and to be read by people.
[, $rounds] = $argv;
mt_srand(1);
$users = [];
for ($i = 0; $i < 40000; $i++) {
    $users[] = [
        "id" => $i,
        "name" => "user number $i",
        "email" => "user$i@example.com",
        "roles" => ["reader", "editor", str_repeat("t", $i % 40)],
        "active" => $i % 3 > 0,
        "profile" => ["city" => "Town $i", "zip" => (string) $i, "at" => ["x" => mt_rand(0, 999), "y" => mt_rand(0, 99) / 4]],
    ];
}
$text = json_encode($users);
$users = null;
$sum = 0;
for ($round = 0; $round < $rounds; $round++) {
    $users = json_decode($text, $round % 2 == 0);
    $text = json_encode($users);
    $sum += strlen(json_encode($users, JSON_PRETTY_PRINT));
    $users = null;
}
echo $sum, " ", md5($text), "\n";
