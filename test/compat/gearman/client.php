<?php
// work SERVERS FUNCTION | call SERVERS FUNCTION PAYLOAD [UNIQUE] | background SERVERS FUNCTION PAYLOAD | status SERVERS HANDLE
[, $verb, $servers, $function] = $argv;

function my_reverse_function($job)
{
    $workload = $job->workload();
    if ($workload === 'fail') {
        $job->sendFail();
        return null;
    }
    if ($workload === 'throw') {
        $job->sendException('as asked');
        return null;
    }
    $size = $job->workloadSize();
    for ($i = 0; $i < min($size, 3); $i++) {
        $job->sendStatus($i + 1, $size);
    }
    $job->sendData('data');
    $job->sendWarning('warning');
    return strrev($workload);
}

if ($verb === 'work') {
    $worker = new GearmanWorker();
    $worker->addServers($servers);
    $worker->addFunction($function, 'my_reverse_function');
    // A lost connection ends work() once; the next call goes on at the servers that are left.
    while (true) {
        while ($worker->work());
        fwrite(STDERR, 'work: ' . $worker->error() . "\n");
        usleep(50000);
    }
}
$client = new GearmanClient();
$client->addServers($servers);
$client->setTimeout(20000);
if ($verb === 'call') {
    $seen = [];
    $client->setStatusCallback(function ($task) use (&$seen) {
        $seen[] = 'status ' . $task->taskNumerator() . '/' . $task->taskDenominator();
    });
    $client->setDataCallback(function ($task) use (&$seen) {
        $seen[] = 'data ' . $task->data();
    });
    $client->setWarningCallback(function ($task) use (&$seen) {
        $seen[] = 'warning ' . $task->data();
    });
    $result = null;
    $client->setCompleteCallback(function ($task) use (&$result) {
        $result = $task->data();
    });
    $client->setFailCallback(function ($task) use (&$result) {
        $result = 'FAILED';
    });
    $client->setExceptionCallback(function ($task) use (&$result) {
        $result = 'EXCEPTION ' . $task->data();
    });
    $client->addOptions(0);
    $client->addTask($function, $argv[4], null, $argv[5] ?? '');
    if (!$client->runTasks()) {
        fwrite(STDERR, $client->error() . "\n");
        exit(1);
    }
    fwrite(STDERR, implode(', ', $seen) . "\n");
    echo $result;
} elseif ($verb === 'plain') {
    echo $client->doNormal($function, $argv[4]);
} elseif ($verb === 'background') {
    echo $client->doBackground($function, $argv[4]);
} elseif ($verb === 'status') {
    echo json_encode($client->jobStatus($function));
}
