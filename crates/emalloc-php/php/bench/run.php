<?php
// Runs programs on two builds of PHP, in pairs, one after the other in changing order, and compares processor time; peak
// memory, in runs of their own; and, if asked, instructions. Called by scripts/php-bench.sh.

final class Options
{
    public string $stock, $ours, $source, $share, $wiki, $work, $peak;
    public ?string $json = null;
    public int $pairs = 9;
    public bool $instructions = false;
    /** @var string[] */
    public array $only = [];

    public function __construct(array $arguments)
    {
        foreach ($arguments as $argument) {
            if (preg_match('/^--(\w+)=(.*)$/', $argument, $match)) {
                [, $name, $value] = $match;
                $this->$name = is_int($this->$name ?? "") ? (int) $value : $value;
            } elseif ($argument === "--instructions") {
                $this->instructions = true;
            } else {
                $this->only[] = $argument;
            }
        }
    }
}

/** What a run took. */
final class Run
{
    public function __construct(public float $seconds, public string $output)
    {
    }
}

abstract class Program
{
    public function __construct(public string $name, protected Options $options)
    {
    }

    /** Runs it, by a command before its own if there is one. */
    abstract public function run(string $php, array $through = []): Run;

    /** How much memory its process has at most, in KB: counted, so it takes longer (peak.c). */
    public function peak(string $php): int
    {
        $file = "{$this->options->work}/peak.kb";
        $this->run($php, [$this->options->peak, $file]);
        return (int) file_get_contents($file);
    }

    /** Instructions of a shorter run; null if that cannot be had. */
    public function instructions(string $php): ?int
    {
        return null;
    }

    /** PHP with the extensions that applications need. */
    protected function php(string $php): array
    {
        $command = [$php, "-n", "-d", "memory_limit=-1", "-d", "error_reporting=" . (E_ALL & ~E_DEPRECATED)];
        $command = [...$command, "-d", "extension_dir={$this->options->source}/modules"];
        foreach (["ctype", "filter", "mbstring", "session", "tokenizer"] as $extension) {
            if (is_file("{$this->options->source}/modules/$extension.so")) {
                $command = [...$command, "-d", "extension=$extension"];
            }
        }
        return [...$command, "-d", "include_path={$this->options->share}"];
    }

    /** Seconds of the processor that ended children have taken. */
    protected static function children(): float
    {
        $usage = getrusage(1);
        return $usage["ru_utime.tv_sec"] + $usage["ru_stime.tv_sec"]
            + ($usage["ru_utime.tv_usec"] + $usage["ru_stime.tv_usec"]) / 1e6;
    }
}

/** A script that runs by itself. */
final class Script extends Program
{
    public function __construct(string $name, Options $options, private string $file, private array $arguments, private array $short)
    {
        parent::__construct($name, $options);
    }

    public function run(string $php, array $through = []): Run
    {
        $before = self::children();
        $output = $this->start([...$through, ...$this->php($php), $this->file, ...$this->arguments]);
        // PHP's own programs print how long they took.
        $output = preg_replace('/[-\s]*\d+\.\d+\s*/', " ", $output);
        return new Run(self::children() - $before, $output);
    }

    public function instructions(string $php): ?int
    {
        // The extension writes into PHP's code, which valgrind would not see without being told to look.
        $valgrind = ["valgrind", "--tool=callgrind", "--smc-check=all", "--trace-children=yes", "--callgrind-out-file=/dev/null"];
        $command = [...$valgrind, ...$this->php($php), $this->file, ...$this->short];
        $this->start($command, $errors);
        return preg_match('/Collected : (\d+)/', $errors, $match) ? (int) $match[1] : null;
    }

    private function start(array $command, ?string &$errors = null): string
    {
        $said = "{$this->options->work}/said";
        $pipes = [];
        $process = proc_open($command, [1 => ["pipe", "w"], 2 => ["file", $said, "w"]], $pipes);
        $output = stream_get_contents($pipes[1]);
        $status = proc_close($process);
        $errors = file_get_contents($said);
        if ($status !== 0) {
            fwrite(STDERR, "{$this->name}: " . implode(" ", $command) . "\nended with status $status\n$errors");
            exit(1);
        }
        return $output;
    }
}

/** DokuWiki, served over HTTP by one process. */
final class Wiki extends Program
{
    private const PORT = 18273;
    private const PAGES = ["wiki:syntax", "wiki:dokuwiki", "wiki:welcome", "playground:playground", "wiki:syntax&do=index"];
    private const REQUESTS = 60;

    public function run(string $php, array $through = []): Run
    {
        $before = self::children();
        $command = [...$through, ...$this->php($php), "-S", "127.0.0.1:" . self::PORT, "-t", $this->options->wiki];
        $log = "{$this->options->work}/wiki.log";
        $pipes = [];
        $process = proc_open($command, [1 => ["file", $log, "w"], 2 => ["file", $log, "a"]], $pipes, $this->options->wiki);
        for ($tries = 0; !($socket = @fsockopen("127.0.0.1", self::PORT)); $tries++) {
            if ($tries > 100) {
                fwrite(STDERR, "the server does not answer\n" . file_get_contents($log));
                exit(1);
            }
            usleep(50000);
        }
        fclose($socket);
        $sizes = [];
        for ($request = 0; $request < self::REQUESTS; $request++) {
            $sizes[] = strlen($this->page(self::PAGES[$request % count(self::PAGES)]));
        }
        proc_terminate($process, 2);
        proc_close($process);
        // Pages carry times and numbers of their own; that all are there is enough.
        $whole = count(array_filter($sizes, fn (int $size) => $size > 2000));
        return new Run(self::children() - $before, "$whole pages");
    }

    private function page(string $id): string
    {
        $socket = fsockopen("127.0.0.1", self::PORT);
        fwrite($socket, "GET /doku.php?id=$id HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n");
        $page = stream_get_contents($socket);
        fclose($socket);
        if (!preg_match('/^HTTP\/1\.[01] 200.*<\/html>/s', $page)) {
            fwrite(STDERR, "no page $id:\n" . substr($page, 0, 1000));
            exit(1);
        }
        return $page;
    }
}

/** The value at a part of the way through sorted numbers. */
function at(array $numbers, float $part): float
{
    sort($numbers);
    $place = $part * (count($numbers) - 1);
    [$low, $high] = [$numbers[(int) floor($place)], $numbers[(int) ceil($place)]];
    return $low + ($high - $low) * ($place - floor($place));
}

function compare(Program $program, Options $options): array
{
    $runs = ["stock" => [], "ours" => []];
    $builds = ["stock" => $options->stock, "ours" => $options->ours];
    foreach ($builds as $php) {
        $program->run($php); // not counted: files get into the system's cache
    }
    for ($pair = 0; $pair < $options->pairs; $pair++) {
        foreach ($pair % 2 ? array_reverse($builds) : $builds as $build => $php) {
            $runs[$build][] = $program->run($php);
        }
    }
    $outputs = array_unique(array_map(fn (Run $run) => $run->output, [...$runs["stock"], ...$runs["ours"]]));
    if (count($outputs) > 1) {
        fwrite(STDERR, "{$program->name}: the builds answer differently\n");
        exit(1);
    }
    $seconds = array_map(fn (array $runs) => array_map(fn (Run $run) => $run->seconds, $runs), $runs);
    $peaks = array_map(fn (string $php) => at([$program->peak($php), $program->peak($php), $program->peak($php)], 0.5), $builds);
    $ratios = array_map(fn (float $ours, float $stock) => $ours / $stock, $seconds["ours"], $seconds["stock"]);
    // How far stock is from itself: each run against the one before.
    $noise = array_map(fn (float $one, float $other) => $one / $other, array_slice($seconds["stock"], 1), array_slice($seconds["stock"], 0, -1));
    $row = [
        "schema_version" => 1,
        "program" => $program->name,
        "pairs" => $options->pairs,
        "stock_seconds" => round(at($seconds["stock"], 0.5), 4),
        "ours_seconds" => round(at($seconds["ours"], 0.5), 4),
        "ratio" => round(at($ratios, 0.5), 4),
        "ratio_quartiles" => [round(at($ratios, 0.25), 4), round(at($ratios, 0.75), 4)],
        "stock_to_stock_quartiles" => [round(at($noise, 0.25), 4), round(at($noise, 0.75), 4)],
        "stock_peak_kb" => (int) $peaks["stock"],
        "ours_peak_kb" => (int) $peaks["ours"],
    ];
    if ($options->instructions && ($stock = $program->instructions($options->stock))) {
        $row["stock_instructions"] = $stock;
        $row["ours_instructions"] = $program->instructions($options->ours);
    }
    return $row;
}

$options = new Options(array_slice($argv, 1));
$scripts = [
    "bench" => ["{$options->source}/Zend/bench.php", [], []],
    "micro_bench" => ["{$options->source}/Zend/micro_bench.php", [], []],
    // The last two columns: rounds, and rounds of the shorter run under valgrind.
    "json" => [__DIR__ . "/json.php", [7], [1]],
    "arrays" => [__DIR__ . "/arrays.php", [20], [1]],
    "twig" => [__DIR__ . "/twig.php", [2500], [100]],
    "commonmark" => [__DIR__ . "/commonmark.php", [24], [1]],
    "phpparser" => [__DIR__ . "/phpparser.php", [5], [1]],
];
$programs = [];
foreach ($scripts as $name => [$file, $arguments, $short]) {
    $programs[$name] = new Script($name, $options, $file, array_map("strval", $arguments), array_map("strval", $short));
}
$programs["dokuwiki"] = new Wiki("dokuwiki", $options);
if ($options->pairs < 2) {
    fwrite(STDERR, "at least two pairs, to see how far stock is from itself\n");
    exit(2);
}
if ($unknown = array_diff($options->only, array_keys($programs))) {
    fwrite(STDERR, "no such program: " . implode(", ", $unknown) . "; there are " . implode(", ", array_keys($programs)) . "\n");
    exit(2);
}

$columns = $options->instructions ? " instructions, ours/stock |" : "";
printf("| program | stock, s | ours, s | ours/stock | quartiles | stock/stock | peak stock, MB | peak ours, MB |%s\n", $columns);
printf("|---|--:|--:|--:|---|---|--:|--:|%s\n", $columns ? "--:|" : "");
$rows = [];
foreach ($options->only ?: array_keys($programs) as $name) {
    $rows[] = $row = compare($programs[$name], $options);
    $figures = [$row["stock_seconds"], $row["ours_seconds"], $row["ratio"], ...$row["ratio_quartiles"], ...$row["stock_to_stock_quartiles"]];
    $peaks = [$row["stock_peak_kb"] / 1024, $row["ours_peak_kb"] / 1024];
    printf("| %s | %.3f | %.3f | %.3f | %.3f..%.3f | %.3f..%.3f | %.1f | %.1f |", $name, ...$figures, ...$peaks);
    if ($options->instructions) {
        printf(isset($row["stock_instructions"]) ? " %.3f |" : " |", ($row["ours_instructions"] ?? 0) / ($row["stock_instructions"] ?? 1));
    }
    echo "\n";
}
if ($options->json !== null) {
    file_put_contents($options->json, implode("", array_map(fn (array $row) => json_encode($row) . "\n", $rows)));
}
