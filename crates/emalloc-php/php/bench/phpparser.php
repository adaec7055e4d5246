<?php
// PHP-Parser: its own sources parsed, walked and printed.
[, $rounds] = $argv;
require_once "PhpParser/autoload.php";

$files = [];
$folder = stream_resolve_include_path("PhpParser");
foreach (new RecursiveIteratorIterator(new RecursiveDirectoryIterator($folder)) as $file) {
    if ($file->getExtension() === "php" && $file->getSize() < 60000) {
        $files[$file->getPathname()] = file_get_contents($file->getPathname());
    }
}
ksort($files);
$parser = (new \PhpParser\ParserFactory())->create(\PhpParser\ParserFactory::PREFER_PHP7);
$printer = new \PhpParser\PrettyPrinter\Standard();
$length = 0;
for ($round = 0; $round < $rounds; $round++) {
    $trees = [];
    foreach ($files as $name => $text) {
        $tree = $parser->parse($text);
        $walker = new \PhpParser\NodeTraverser();
        $walker->addVisitor(new \PhpParser\NodeVisitor\NameResolver());
        $trees[$name] = $walker->traverse($tree);
    }
    foreach ($trees as $tree) {
        $length += strlen($printer->prettyPrintFile($tree));
    }
}
echo $length, "\n";
