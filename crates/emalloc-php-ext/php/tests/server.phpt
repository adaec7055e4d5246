--TEST--
Many requests of one process: each begins with an empty heap, also after a fatal error
--EXTENSIONS--
emalloc
--FILE--
<?php
require __DIR__ . '/child.inc';
file_put_contents($script = __DIR__ . '/server.script.php', '<?php
$list = range(1, 20000);
if (isset($_GET["boom"])) {
    ini_set("memory_limit", "1G");
    ini_set("memory_limit", "16M");
    str_repeat("x", 50000000);
}
$stats = Emalloc\stats();
echo $stats["requests"]["ended"], " ", $stats["requests"]["left_bytes"] ?? "", " ", memory_get_peak_usage(true), " ", ini_get("memory_limit"),
    " ", memory_get_usage() < 1500000 ? "small" : memory_get_usage(), "\n";');
foreach (['heap', 'watch', "heap\nemalloc.leaks=1"] as $mode) {
    $settings = [];
    foreach ([...settings_of_the_test(), ...explode("\n", "emalloc.mode=$mode"), 'memory_limit=32M', 'display_errors=1', 'html_errors=0'] as $setting) {
        array_push($settings, '-d', $setting);
    }
    $free = stream_socket_server('tcp://127.0.0.1:0');
    $address = stream_socket_get_name($free, false);
    fclose($free);
    $server = proc_open([getenv('TEST_PHP_EXECUTABLE'), '-n', ...$settings, '-S', $address, '-t', __DIR__],
        [1 => ['file', '/dev/null', 'w'], 2 => ['file', '/dev/null', 'w']], $pipes);
    for ($tries = 0; $tries < 100 && !@fsockopen('tcp://' . $address); $tries++) {
        usleep(50000);
    }
    foreach (['', '', '?boom=1', '', ''] as $query) {
        echo trim(file_get_contents("http://$address/server.script.php$query")), "\n";
    }
    proc_terminate($server);
    proc_close($server);
}
unlink($script);
?>
--EXPECTF--
0  2097152 32M small
1  2097152 32M small
Fatal error: Allowed memory size of 16777216 bytes exhausted (tried to allocate %d bytes) in %s on line 6
3  2097152 32M small
4  2097152 32M small
0  2097152 32M small
1  2097152 32M small
Fatal error: Allowed memory size of 16777216 bytes exhausted (tried to allocate %d bytes) in %s on line 6
3  2097152 32M small
4  2097152 32M small
0 0 2097152 32M small
1 0 2097152 32M small
Fatal error: Allowed memory size of 16777216 bytes exhausted (tried to allocate %d bytes) in %s on line 6
3 %d 2097152 32M small
4 0 2097152 32M small
