--TEST--
Requests live on our heap, and PHP's own functions say so
--EXTENSIONS--
emalloc
--FILE--
<?php
$stats = Emalloc\stats();
var_dump($stats['mode'], $stats['heap']['storage'], $stats['heap']['segment_size']);
// What the array itself takes comes between the two.
var_dump(abs(memory_get_usage() - Emalloc\stats()['heap']['usage']) < 20000);
var_dump(memory_get_usage(true) === Emalloc\stats()['heap']['real_usage']);

$before = memory_get_usage();
$text = str_repeat('x', 3000000);
var_dump(memory_get_usage() - $before >= 3000000, memory_get_usage(true) >= 3000000);
unset($text);
var_dump(memory_get_usage() - $before < 100000);
var_dump(memory_get_peak_usage() >= 3000000, memory_get_peak_usage(true) >= 3000000);
memory_reset_peak_usage();
var_dump(memory_get_peak_usage() < 3000000, memory_get_peak_usage(true) < 3000000);

$map = Emalloc\map();
var_dump($map[0]['kind'], $map[0]['size'], strlen($map[0]['pages']), preg_match('/^H+[sL]/', $map[0]['pages']));
$text = str_repeat('x', 3000000);
var_dump(in_array('huge', array_column(Emalloc\map(), 'kind')));
?>
--EXPECT--
string(4) "heap"
string(6) "cached"
int(2097152)
bool(true)
bool(true)
bool(true)
bool(true)
bool(true)
bool(true)
bool(true)
bool(true)
bool(true)
string(5) "pages"
int(2097152)
int(512)
int(1)
bool(true)
