# work SERVERS FUNCTION | call SERVERS FUNCTION PAYLOAD [UNIQUE] | background SERVERS FUNCTION PAYLOAD
use strict;
use warnings;
use Gearman::Client;
use Gearman::Task;
use Gearman::Worker;

my ($verb, $servers, $function, $payload, $unique) = @ARGV;
my @servers = split /,/, $servers;
$| = 1;

if ($verb eq 'work') {
    my $worker = Gearman::Worker->new(job_servers => \@servers);
    $worker->register_function($function => sub {
        my $job = shift;
        die "as asked\n" if $job->arg eq 'fail';
        $job->set_status(1, 2);
        return scalar reverse $job->arg;
    });
    $worker->work while 1;
}
my $client = Gearman::Client->new(job_servers => \@servers);
if ($verb eq 'call') {
    my $result;
    my @seen;
    my $tasks = $client->new_task_set;
    $tasks->add_task(Gearman::Task->new($function, \$payload, {
        uniq        => $unique,
        on_complete => sub { $result = ${ $_[0] } },
        on_fail     => sub { $result = 'FAILED' },
        on_status   => sub { push @seen, "status $_[0]/$_[1]" },
    }));
    $tasks->wait(timeout => 20);
    print STDERR join(', ', @seen), "\n";
    print $result // 'NOTHING';
} elsif ($verb eq 'background') {
    print $client->dispatch_background($function, \$payload, {});
}
