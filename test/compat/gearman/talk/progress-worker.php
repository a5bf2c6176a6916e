<?php
$worker= new GearmanWorker();
$worker->addServer();
$worker->addFunction("reverse_slowly", "my_reverse_function");
while ($worker->work());

function my_reverse_function($job)
{
    $workload= $job->workload();
    $size= $job->workloadSize();
    for ($x= 0; $x < $size; $x++) {
        $job->sendStatus($x + 1, $size);
    }
    return strrev($workload);
}
