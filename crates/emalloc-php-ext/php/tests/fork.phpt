--TEST--
A forked process goes on with its own copy of the heap
--EXTENSIONS--
emalloc
pcntl
--SKIPIF--
<?php if (!function_exists('pcntl_fork')) die('skip no pcntl'); ?>
--FILE--
<?php
$list = range(1, 10000);
$texts = array_map(fn($n) => str_repeat('x', $n % 1000), $list);
$children = [];
for ($child = 0; $child < 3; $child++) {
    $pid = pcntl_fork();
    if ($pid === 0) {
        $texts = array_map(fn($text) => $text . 'y', $texts);
        $bytes = array_sum(array_map('strlen', $texts));
        unset($texts, $list);
        exit($bytes === 4995000 + 10000 && memory_get_usage() < 2000000 ? 7 : 1);
    }
    $children[] = $pid;
}
foreach ($children as $pid) {
    pcntl_waitpid($pid, $status);
    var_dump(pcntl_wexitstatus($status));
}
var_dump(array_sum(array_map('strlen', $texts)));
?>
--EXPECT--
int(7)
int(7)
int(7)
int(4995000)
