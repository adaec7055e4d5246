--TEST--
A block freed twice ends the process, and is told with the line of the script
--EXTENSIONS--
emalloc
ffi
--FILE--
<?php
require __DIR__ . '/child.inc';
$script = '<?php
$zend = FFI::cdef("void *_emalloc(size_t size); void _efree(void *block);");
$block = $zend->_emalloc(100);
$other = $zend->_emalloc(100);
$zend->_efree($block);
$zend->_efree($other);
$zend->_efree($block);
echo "not noticed";';
[$status, $said] = run($script, ['emalloc.debug=1']);
var_dump($status, $said);
?>
--EXPECTF--
int(134)
string(%d) "zend_mm_heap corrupted: %s, in SCRIPT on line 7%A"
