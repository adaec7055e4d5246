--TEST--
memory_limit ends the script with PHP's words, file and line; a second time, too
--EXTENSIONS--
emalloc
--FILE--
<?php
require __DIR__ . '/child.inc';
$settings = ['memory_limit=8M', 'log_errors=0', 'display_errors=1', 'html_errors=0'];
show('<?php
function grow() {
    return str_repeat("a", 50000000);
}
grow();
echo "not reached";', $settings);
show('<?php
$list = [];
while (true) $list[] = [count($list)];', $settings);
show('<?php
register_shutdown_function(function () {
    echo "small: ", strlen(str_repeat("b", 1000000)), "\n";
    echo strlen(str_repeat("b", 20000000)), "\n";
    echo "not reached";
});
$text = str_repeat("a", 5000000);
$text .= str_repeat("a", 5000000);
echo "not reached";', $settings);
show('<?php
register_shutdown_function(function () {
    ini_set("memory_limit", "100M");
    echo "now: ", strlen(str_repeat("b", 20000000)), "\n";
});
$text = str_repeat("a", 50000000);', $settings);
?>
--EXPECTF--
Fatal error: Allowed memory size of 8388608 bytes exhausted (tried to allocate %d bytes) in SCRIPT on line 3
status 255
Fatal error: Allowed memory size of 8388608 bytes exhausted (tried to allocate %d bytes) in SCRIPT on line 3
status 255
Fatal error: Allowed memory size of 8388608 bytes exhausted (tried to allocate %d bytes) in SCRIPT on line 8
small: 1000000

Fatal error: Allowed memory size of 8388608 bytes exhausted (tried to allocate %d bytes) in SCRIPT on line 4
status 255
Fatal error: Allowed memory size of 8388608 bytes exhausted (tried to allocate %d bytes) in SCRIPT on line 6
now: 20000000
status 255
