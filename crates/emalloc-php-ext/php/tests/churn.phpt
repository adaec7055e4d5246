--TEST--
Blocks of all sizes come, grow, shrink and go, and keep what is in them, on every storage, in debug mode, too
--EXTENSIONS--
emalloc
--FILE--
<?php
require __DIR__ . '/child.inc';
$script = '<?php
mt_srand(42);
$texts = $sums = [];
for ($i = 0; $i < 20000; $i++) {
    $at = mt_rand(0, 300);
    $size = 2 ** mt_rand(0, 20) + mt_rand(0, 100);
    switch (mt_rand(0, 3)) {
        case 0: unset($texts[$at], $sums[$at]); break;
        case 1: $texts[$at] = str_repeat(chr(mt_rand(33, 126)), $i % 50 ? $size % 5000 : $size); break;
        case 2: if (isset($texts[$at]) && strlen($texts[$at]) < 1 << 21) $texts[$at] .= str_repeat("+", $size % 3000); break;
        case 3: if (isset($texts[$at])) $texts[$at] = substr($texts[$at], 0, intdiv(strlen($texts[$at]), 2)); break;
    }
    if (isset($texts[$at])) $sums[$at] = crc32($texts[$at]);
}
foreach ($texts as $at => $text) if (crc32($text) !== $sums[$at]) echo "text $at is broken\n";
echo Emalloc\stats()["heap"]["storage"], " ", Emalloc\stats()["heap"]["segment_size"], " ", count($texts) > 100 ? "ok" : "few";';
foreach (['cached', 'malloc', 'mmap_anon', 'mmap_zero'] as $storage) {
    show($script, ["emalloc.storage=$storage"]);
}
show($script, ['emalloc.segment_size=64K', 'emalloc.sample=10K']);
show($script, ['emalloc.debug=1', 'emalloc.segment_size=256K']);
?>
--EXPECT--
cached 2097152 ok
status 0
malloc 2097152 ok
status 0
mmap_anon 2097152 ok
status 0
mmap_zero 2097152 ok
status 0
cached 65536 ok
status 0
cached 262144 ok
status 0
