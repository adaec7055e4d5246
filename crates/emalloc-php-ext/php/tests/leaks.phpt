--TEST--
Blocks that a request leaves are reported with the line that asked for them, in both modes
--EXTENSIONS--
emalloc
ffi
--FILE--
<?php
require __DIR__ . '/child.inc';
$leak = '<?php
for ($i = 0; $i < 3; $i++) {
    $lost = FFI::new("char[100]", false);
}
$lost = FFI::new("char[200]", false);
echo "end\n";';
show($leak, ['emalloc.leaks=1']);
show($leak, ['emalloc.leaks=1', 'emalloc.mode=watch']);
show($leak, ['emalloc.leaks=0']);
// Nobody's fault.
show($leak . 'ini_set("memory_limit", "8M"); str_repeat("x", 50000000);',
    ['emalloc.leaks=1', 'display_errors=1', 'log_errors=0']);
// No more than there is.
show('<?php function f() { $a = [1]; $a[] = &$a; } f(); $o = new ArrayObject([new stdClass]); class C { public $c; } $c = new C; $c->c = fn() => [$c, $o];
spl_autoload_register(fn($name) => $c); set_error_handler(fn() => $c); eval("class T {}"); echo "end\n";',
    ['emalloc.leaks=1']);
?>
--EXPECTF--
end
Script:  'SCRIPT'
SCRIPT(3) :  Freeing 0x%x (100 bytes), asked for by FFI::new
Last leak repeated 2 times
SCRIPT(5) :  Freeing 0x%x (200 bytes), asked for by FFI::new
=== Total 4 memory leaks detected ===
status 0
end
Script:  'SCRIPT'
SCRIPT(3) :  Freeing 0x%x (100 bytes), asked for by FFI::new
Last leak repeated 2 times
SCRIPT(5) :  Freeing 0x%x (200 bytes), asked for by FFI::new
=== Total 4 memory leaks detected ===
status 0
end
status 0
end

Fatal error: Allowed memory size of 8388608 bytes exhausted (tried to allocate %d bytes) in SCRIPT on line 6
status 255
end
status 0
