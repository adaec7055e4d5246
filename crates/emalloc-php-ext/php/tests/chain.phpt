--TEST--
Another extension's handlers are chained, below ours and on top of them
--EXTENSIONS--
emalloc
--SKIPIF--
<?php if (!getenv('EMALLOC_OTHER')) die('skip the other extension is built by scripts/php-extension.sh --test'); ?>
--FILE--
<?php
require __DIR__ . '/child.inc';
$other = 'extension=' . getenv('EMALLOC_OTHER');
$script = '<?php
$before = other_calls();
$texts = [];
for ($i = 0; $i < 1000; $i++) $texts[] = str_repeat("x", $i) . "y";
foreach ($texts as $i => $text) if (strlen($text) !== $i + 1) echo "broken\n";
unset($texts);
var_dump(Emalloc\stats()["mode"], other_calls() - $before > 1000, memory_get_usage() > 300000, Emalloc\profile_start(1));
echo "end\n";';
// Loaded after ours: on top.
show($script, [$other]);
show($script, [$other, 'emalloc.mode=watch']);
// Loaded before: below. In heap mode its blocks are its own, and it sees none of ours.
$ours = preg_grep('/^(extension|emalloc.entry)=/', settings_of_the_test());
[$status, $said] = run($script, [], [], '-d ' . escapeshellarg($other));
echo $said, "\nstatus $status\n";
[$status, $said] = run($script, ['emalloc.mode=watch'], [], '-d ' . escapeshellarg($other));
echo $said, "\nstatus $status\n";
?>
--EXPECT--
string(4) "heap"
bool(true)
bool(true)
bool(false)
end
status 0
string(5) "watch"
bool(true)
bool(true)
bool(true)
end
status 0
string(4) "heap"
bool(false)
bool(true)
bool(true)
end
status 0
string(5) "watch"
bool(true)
bool(true)
bool(true)
end
status 0
