<?php
$client= new GearmanClient();
$client->addServer();
// The talk wrote do(), which the extension calls doNormal() since its version 1.0.
$do= method_exists($client, "do") ? "do" : "doNormal";
print $client->$do("reverse", "Hello World!");
