<?php
$worker= new GearmanWorker();
$worker->addServers($argv[1]);
$worker->addFunction($argv[2], "my_reverse_function");
while ($worker->work());
print "work() returned false: " . $worker->error() . "\n";

function my_reverse_function($job)
{
    return strrev($job->workload());
}
