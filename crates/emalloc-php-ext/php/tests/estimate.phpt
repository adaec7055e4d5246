--TEST--
Samples stand for what was not sampled
--EXTENSIONS--
emalloc
--INI--
emalloc.sample=16K
--FILE--
<?php
$kept = [];
for ($i = 0; $i < 20000; $i++) {
    $kept[] = str_repeat('x', 500);
}
foreach (['live', 'allocated', 'peak'] as $by) {
    foreach (Emalloc\top($by) as $line) {
        if ($line['function'] == 'str_repeat') {
            // 20000 blocks of 528 bytes. With some 640 samples, 5 standard deviations are 20 %.
            var_dump(abs($line['bytes'] / (20000 * 528) - 1) < 0.2, abs($line['blocks'] / 20000 - 1) < 0.2);
        }
    }
}
$sampling = Emalloc\stats()['sampling'];
var_dump($sampling['blocks'] >= 20000, $sampling['bytes'] >= 20000 * 528, $sampling['samples'] < 2000);
?>
--EXPECT--
bool(true)
bool(true)
bool(true)
bool(true)
bool(true)
bool(true)
bool(true)
bool(true)
bool(true)
