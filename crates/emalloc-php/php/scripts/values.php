<?php
// Values of all kinds come and go; what is left is the same on every allocator.
mt_srand(7);

$lists = [];
for ($round = 0; $round < 200; $round++) {
    $list = [];
    for ($i = 0; $i < 500; $i++) {
        $list["k" . mt_rand(0, 999)] = str_repeat(chr(97 + $i % 26), mt_rand(0, 300));
    }
    $lists[$round % 20] = $list;
}
echo "lists ", md5(serialize($lists)), "\n";

$text = json_encode(array_map(null, array_values($lists)));
for ($i = 0; $i < 5; $i++) {
    $text = json_encode(json_decode($text, $i % 2 == 0));
}
echo "json ", strlen($text), " ", md5($text), "\n";

$grown = "";
for ($i = 0; $i < 300000; $i++) {
    $grown .= $i;
}
echo "text ", strlen($grown), " ", md5($grown), "\n";

class Node
{
    public array $children = [];
    public ?Node $parent = null;
}
$nodes = [];
for ($i = 0; $i < 20000; $i++) {
    $node = new Node;
    $node->parent = $nodes ? $nodes[mt_rand(0, count($nodes) - 1)] : null;
    if ($node->parent) {
        $node->parent->children[] = $node;
    }
    $nodes[] = $node;
}
$leaves = count(array_filter($nodes, fn ($node) => !$node->children));
$nodes = $node = null;
gc_collect_cycles();
echo "nodes ", $leaves, "\n";

$fibers = [];
for ($i = 0; $i < 50; $i++) {
    $fibers[] = $fiber = new Fiber(function (int $from): int {
        $sum = 0;
        foreach (range($from, $from + 1000) as $number) {
            $sum += Fiber::suspend($number) ?? 0;
        }
        return $sum;
    });
    $fiber->start($i);
}
for ($step = 0; $step < 1001; $step++) {
    foreach ($fibers as $i => $fiber) {
        $fiber->resume($i);
    }
}
echo "fibers ", array_sum(array_map(fn ($fiber) => $fiber->getReturn(), $fibers)), "\n";

echo "parts ", count(preg_split('/[13]2+/', $grown)), "\n";
