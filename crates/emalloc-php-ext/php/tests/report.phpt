--TEST--
The report of a request: its peak, and the lines that needed it
--EXTENSIONS--
emalloc
--FILE--
<?php
require __DIR__ . '/child.inc';
$script = '<?php
function build() {
    return str_repeat("x", 3000000);
}
$kept = build();';
// Lines without being told how many samples.
show($script, ['emalloc.mode=heap', 'emalloc.report=stderr', 'memory_limit=64M']);
foreach (['heap', 'watch'] as $mode) {
    show($script, ["emalloc.mode=$mode", 'emalloc.sample=1', 'emalloc.report=stderr', 'memory_limit=64M']);
}
?>
--EXPECTF--
emalloc: SCRIPT
  peak %f MiB, %f MiB with what the heap keeps; memory_limit 64.0 MiB
  %f MiB in %d blocks; %d samples, one every 512.0 KiB
  at the peak:
     %f MiB         1 blocks  SCRIPT:3 str_repeat
%A
status 0
emalloc: SCRIPT
  peak %f MiB, %f MiB with what the heap keeps; memory_limit 64.0 MiB
  %f MiB in %d blocks; every one was noted
  at the peak:
     2.9 MiB         1 blocks  SCRIPT:3 str_repeat
%A
  allocated in all:
     2.9 MiB         1 blocks  SCRIPT:3 str_repeat
%A
  still in use at the end of the script:
     2.9 MiB         1 blocks  SCRIPT:3 str_repeat
%A
status 0
emalloc: SCRIPT
  peak %f MiB, %f MiB with what the heap keeps; memory_limit 64.0 MiB
  %f MiB in %d blocks; every one was noted
  at the peak:
     2.9 MiB         1 blocks  SCRIPT:3 str_repeat
%A
  allocated in all:
     2.9 MiB         1 blocks  SCRIPT:3 str_repeat
%A
  still in use at the end of the script:
     2.9 MiB         1 blocks  SCRIPT:3 str_repeat
%A
status 0
