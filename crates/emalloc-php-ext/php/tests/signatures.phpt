--TEST--
The functions have the signatures that the stub says
--EXTENSIONS--
emalloc
--FILE--
<?php
preg_match_all('/^function (\w+)(\(.*\): [\w|]+) \{\}$/m', file_get_contents(__DIR__ . '/emalloc.stub.php'), $stubs);
foreach (array_combine($stubs[1], $stubs[2]) as $name => $signature) {
    $function = new ReflectionFunction("Emalloc\\$name");
    $parameters = array_map(function ($parameter) {
        $default = json_encode($parameter->getDefaultValue());
        return "{$parameter->getType()} \${$parameter->getName()} = $default";
    }, $function->getParameters());
    $is = '(' . implode(', ', $parameters) . '): ' . $function->getReturnType();
    if ($is !== $signature) {
        echo "$name$is is not $signature\n";
    }
}
var_dump(count($stubs[1]), count((new ReflectionExtension('emalloc'))->getFunctions()));
?>
--EXPECT--
int(7)
int(7)
