<?php
$client= new GearmanClient();
$client->addServer();
$client->setCreatedCallback("created");
$client->setStatusCallback("status");
$client->setCompleteCallback("complete");
$client->setFailCallback("fail");
$client->addTask("reverse_slowly", "Hello World!", null, "1");
$client->addTaskHigh("reverse_slowly", "!dlroW olleH", null, "2");
$client->addTaskLow("reverse_slowly", "abc", null, "3");
if (!$client->runTasks()) {
    print $client->error() . "\n";
    exit(1);
}

function created($task)
{
    print "CREATED " . $task->jobHandle() . "\n";
}
function status($task)
{
    print "STATUS " . $task->unique() . " " . $task->taskNumerator() . "/" . $task->taskDenominator() . "\n";
}
function complete($task)
{
    print "COMPLETE " . $task->unique() . " " . $task->data() . "\n";
}
function fail($task)
{
    print "FAILED " . $task->jobHandle() . "\n";
}
