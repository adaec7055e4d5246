--TEST--
Watched, PHP keeps its heap, and lines of scripts are told apart
--EXTENSIONS--
emalloc
--INI--
emalloc.mode=watch
emalloc.sample=1
opcache.enable_cli=0
--FILE--
<?php
class Store
{
    public array $kept = [];
    function fill(int $count): void
    {
        for ($i = 0; $i < $count; $i++) {
            $this->kept[] = str_repeat('k', 1000);
        }
    }
}
var_dump(Emalloc\stats()['mode'], Emalloc\map());
$mark = Emalloc\mark();
$store = new Store;
$store->fill(500);
for ($i = 0; $i < 500; $i++) {
    $gone = str_repeat('g', 2000);
}
unset($gone);
$lines = fn(array $list) => array_map(
    fn($line) => basename($line['file']) . ":{$line['line']} {$line['function']} {$line['blocks']} {$line['bytes']}",
    array_values(array_filter($list, fn($line) => $line['function'] == 'str_repeat'))
);
print_r($lines(Emalloc\leaks($mark)));
print_r($lines(Emalloc\top('live')));
print_r($lines(Emalloc\top('allocated')));
print_r(Emalloc\leaks(Emalloc\mark()));
$store = null;
print_r($lines(Emalloc\leaks($mark)));
var_dump(count($lines(Emalloc\top('peak'))) >= 1, count(Emalloc\top('peak', 1)));
foreach ([fn() => Emalloc\top('size'), fn() => Emalloc\leaks(-1)] as $wrong) {
    try {
        $wrong();
    } catch (ValueError $error) {
        echo $error->getMessage(), "\n";
    }
}
$usage = memory_get_usage();
var_dump($usage > 300000, gc_mem_caches() >= 0);
?>
--EXPECT--
string(5) "watch"
array(0) {
}
Array
(
    [0] => watch.php:8 str_repeat 500 516000
)
Array
(
    [0] => watch.php:8 str_repeat 500 516000
)
Array
(
    [0] => watch.php:17 str_repeat 500 1016000
    [1] => watch.php:8 str_repeat 500 516000
)
Array
(
)
Array
(
)
bool(true)
int(1)
Emalloc\top(): Argument #1 ($by) must be "peak", "live" or "allocated"
Emalloc\leaks(): Argument #1 ($since) must be greater than or equal to 0
bool(true)
bool(true)
