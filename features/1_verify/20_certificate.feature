Feature: One certificate keeps every connection private
  People's passwords and letters travel under it, and other mail servers look at it too.
  The sysadmin signs this; every mail program relies on it.
  What fails here shows as a warning on everybody's screen, or as a password in the clear.

  Rule: Mail programs trust it

    Scenario: Mail programs trust the certificate on every service
      Then the certificate of every service is trusted and bears the server's name

    Scenario: Every service shows the same certificate
      Then all services show the certificate that lies on the disk

    Scenario: Programs of some years ago can encrypt
      Then a program that knows nothing newer than TLS 1.2 can encrypt everywhere

    Scenario: The private key is private
      Then nobody but the services can read the certificate's key

    Scenario: The key belongs to the certificate
      Then the key on the disk belongs to the certificate beside it

  Rule: It stays valid

    Scenario: The certificate does not run out soon
      Then the certificate is valid for two weeks at least

    Scenario: The certificate is renewed by itself
      Then renewal is set up and every service is told of the new certificate

    @recommended
    Scenario: A renewal would succeed today
      When the renewal of the certificate is rehearsed
      Then the rehearsal succeeds

  Rule: Nothing secret travels without it

    Scenario: Nobody can log in without encryption
      Given a mailbox of mailmove's own
      When its owner tries to log in without encryption
      Then every service refuses the login

    Scenario: Outdated encryption is refused where people read their mail
      Then outdated encryption is refused
