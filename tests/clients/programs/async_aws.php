<?php
require "AsyncAws/Core/autoload.php";

$sts = new AsyncAws\Core\Sts\StsClient(["endpoint" => "http://" . getenv("HOST"), "region" => "us-east-1"]);
echo $sts->getCallerIdentity()->getArn(), "\n";
