--TEST--
phpinfo() has a section
--EXTENSIONS--
emalloc
--INI--
emalloc.mode=heap
emalloc.entry=handlers
--FILE--
<?php
ob_start();
phpinfo(INFO_MODULES);
preg_match('/^emalloc$.*?^emalloc\.mode.*?$/ms', ob_get_clean(), $section);
echo $section[0];
?>
--EXPECTF--
emalloc

Mode => heap: requests live on our heap
Entry => handlers
Not direct because => emalloc.entry says so
Samples => none
Storage => cached
Segment size => 2097152
Held now => %d
Version of the library => %s

Directive => Local Value => Master Value
emalloc.debug => 0 => 0
emalloc.entry => handlers => handlers
emalloc.leaks => 0 => 0
emalloc.mode => heap => heap
