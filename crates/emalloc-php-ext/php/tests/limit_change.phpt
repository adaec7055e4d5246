--TEST--
memory_limit can be raised, lowered and lifted; not below what is held
--EXTENSIONS--
emalloc
--INI--
memory_limit=16M
--FILE--
<?php
$limit = fn() => Emalloc\stats()['heap']['limit'];
var_dump($limit() === 16 << 20);
var_dump(ini_set('memory_limit', '64M'), $limit() === 64 << 20);
$text = str_repeat('a', 20 << 20);
var_dump(ini_set('memory_limit', '8M'), ini_get('memory_limit'), $limit() === 64 << 20);
unset($text);
var_dump(ini_set('memory_limit', '8M'), $limit() === 8 << 20);
var_dump(ini_set('memory_limit', -1));
$text = str_repeat('a', 100 << 20);
unset($text);
ini_restore('memory_limit');
var_dump($limit() === 16 << 20);
?>
--EXPECTF--
bool(true)
string(3) "16M"
bool(true)

Warning: Failed to set memory limit to 8388608 bytes (Current memory usage is %d bytes) in %s on line %d
bool(false)
string(3) "64M"
bool(true)
string(3) "64M"
bool(true)
string(2) "8M"
bool(true)
