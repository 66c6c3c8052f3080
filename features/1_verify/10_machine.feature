Feature: The machine is ready to carry mail
  A mail server is as good as the machine under it, today and after the next reboot.
  The sysadmin signs this; whoever moves in relies on it.
  What fails here fails again on the evening, when there is no time to mend it.

  Rule: Everything that is needed is there and runs

    Scenario: The new server runs a supported Debian release
      Then the new server runs a Debian release the guide was written for

    Scenario: All packages are installed completely
      Then the packages of the guide and those the old server uses are installed

    Scenario: Every service runs now and after a reboot
      Then every mail service runs and is started at boot

    Scenario: Every disk is there again after a reboot
      Then whatever mail lies on is mounted again by itself

    @recommended
    Scenario: The firewall is the same after a reboot
      Then a reboot brings the firewall that stands now

    @recommended
    Scenario: Names are looked up without waiting
      Then every name server that the new server asks answers it

    Scenario: The new server needs nothing of the old one
      Then the new server asks the old one for nothing

    Scenario: The running programs are the installed ones
      Then no service runs a program that was replaced under it

    Scenario: Each service accepts its own configuration
      Then no service finds fault with its configuration

    Scenario: The services run with what their files say
      Then no file of a service was changed after the service read it

    @recommended
    Scenario: No unit of the machine has failed
      Then nothing else has failed on the machine

  Rule: The machine can take what is to come

    Scenario: The clocks are right
      Then the clocks of both servers are right

    @recommended
    Scenario: The clock is kept right
      Then the clock of the new server is synchronised

    Scenario: The new server has room for all mail
      Then all mail of the old server fits on the new server

  Rule: The outside reaches what it needs and nothing else

    Scenario: Nobody who takes part in the move is shut out
      Then neither server shuts out this machine or the other server

    Scenario: Everything offered can be reached from outside
      Then every service for people and other mail servers is reachable from outside

    Scenario: The database and the spam filter cannot be reached from outside
      Then database and spam filter answer nobody outside

    @recommended
    Scenario: Nothing else listens to the outside
      Then no other service listens to the outside
