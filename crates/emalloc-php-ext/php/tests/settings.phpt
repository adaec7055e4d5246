--TEST--
Settings that cannot be are named, and something else is used; the settings cannot be changed at run time
--EXTENSIONS--
emalloc
--FILE--
<?php
require __DIR__ . '/child.inc';
$mode = '<?php echo Emalloc\stats()["mode"];';
show($mode, ['emalloc.mode=fast']);
show($mode, ['emalloc.storage=tape', 'emalloc.segment_size=3M', 'emalloc.sample=often']);
show($mode, ['emalloc.mode=off']);
show('<?php var_dump(Emalloc\leaks(Emalloc\mark()), Emalloc\top());', ['emalloc.mode=heap']);
show($mode, [], ['USE_ZEND_ALLOC' => '0']);
var_dump(ini_set('emalloc.mode', 'off'));
?>
--EXPECTF--
Warning: emalloc: emalloc.mode is 'fast', but must be heap, watch or off; it is off in Unknown on line 0
off
status 0
Warning: emalloc: emalloc.storage is 'tape', but must be 'cached', 'malloc', 'mmap_anon', 'mmap_zero'; it is 'cached' in Unknown on line 0

Warning: emalloc: emalloc.segment_size is '3M', but must be a power of two from 64K to 2M; it is 2M in Unknown on line 0

Warning: emalloc: emalloc.sample is 'often', but must be a size in bytes, such as 512K; it is 0 in Unknown on line 0
heap
status 0
off
status 0
Warning: Emalloc\leaks(): no blocks are noted: set emalloc.sample, or call Emalloc\profile_start() in %s on line 1

Warning: Emalloc\top(): no blocks are noted: set emalloc.sample, or call Emalloc\profile_start() in %s on line 1
array(0) {
}
array(0) {
}
status 0
off
status 0
bool(false)
