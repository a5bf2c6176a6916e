<?php
$client= new GearmanClient();
$client->addServer();
$handle= $client->doBackground("reverse", "Hello World!");
print $client->returnCode() === GEARMAN_SUCCESS ? $handle : "bad return code";
