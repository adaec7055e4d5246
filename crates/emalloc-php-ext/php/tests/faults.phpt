--TEST--
Debug mode names the lines that asked for a block, freed it, and freed it again or wrote behind its end
--EXTENSIONS--
emalloc
ffi
--FILE--
<?php
require __DIR__ . '/child.inc';
$zend = '<?php
$zend = FFI::cdef("void *_emalloc(size_t size); void _efree(void *block); void *memset(void *block, int byte, size_t size);");
$block = $zend->_emalloc(100);
';
show($zend . '
$zend->_efree($block);
$zend->_efree($block);
echo "not noticed";', ['emalloc.debug=1']);
show($zend . '
$zend->memset($block, 65, 104);
$zend->_efree($block);
echo "not noticed";', ['emalloc.debug=1']);
show($zend . '
$zend->_efree($block);
echo "fine\n";', ['emalloc.debug=1']);
?>
--EXPECTF--
[%s]  Script:  '-'
---------------------------------------
SCRIPT(6) : Block 0x%x status:
Beginning:  	Freed (allocated on SCRIPT:3, 100 bytes, freed on SCRIPT:5)
%A
status 134
[%s]  Script:  '-'
---------------------------------------
SCRIPT(6) : Block 0x%x status:
Beginning:  	OK (allocated on SCRIPT:3, 100 bytes)
    Start:	OK
      End:	Overflown (%s)
          	4 byte(s) overflown
%A
status 134
fine
status 0
