--TEST--
gc_mem_caches() gives back what our heap merely keeps
--EXTENSIONS--
emalloc
--FILE--
<?php
$list = [];
for ($i = 0; $i < 20000; $i++) {
    $list[] = str_repeat('x', 500) . $i;
}
$held = memory_get_usage(true);
unset($list);
var_dump(gc_mem_caches() > 5000000, memory_get_usage(true) < $held, gc_mem_caches());
?>
--EXPECT--
bool(true)
bool(true)
int(0)
