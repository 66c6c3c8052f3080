Feature: The world finds the mail servers
  Other mail servers know only what the domain name system tells them.
  The owner of every domain relies on it, and signs.
  If this fails, mail for a domain does not follow the move, or what the new server sends is refused.

  Rule: Incoming mail finds its way
    Scenario: The mail of every domain is led to our servers
      Then every domain of the old server leads its mail to us

    Scenario: Every mail exchanger is a name with an address
      Then no mail exchanger is an alias or a bare address

    Scenario: Other mail exchangers help in the downtime
      Then every mail exchanger that is not ours takes letters for its domains

    Scenario: All name servers say the same
      Then every name server of every domain gives the same answers

    @recommended
    Scenario: The name servers stay when the old server goes
      Then no name server of a domain is the old mail server

    Scenario: Every name of the old server moves with it
      Then every name by which people reach the old server moves to the new one

    Scenario: The records can be changed on the evening
      Then every zone accepts a signed change, tried with one that changes nothing

  Rule: Outgoing mail is believed
    Scenario: The new server's addresses have names that lead back to them
      Then every address from which the new server sends has a name that confirms it

    Scenario: The new server introduces itself by a name of its own
      Then the name by which the new server greets others leads to it

    Scenario: No blocklist names the new server
      Then no blocklist that is asked names an address from which the new server sends

    Scenario: The new server may send for every domain
      Then the sender policy of every domain lets the new server send after the switch

    @recommended
    Scenario: Every domain says what to do with forged mail
      Then every domain publishes a sender policy and what to do with forged mail

  Rule: What a domain promises is kept
    Scenario: A promise to encrypt holds after the switch too
      Then whoever publishes a policy of encryption names the servers of before and after the switch in it

    Scenario: Published keys are the ones that are shown
      Then every key published for a mail server is the one it shows

    Scenario: The certificate may be issued
      Then the authority that the new server uses may issue certificates for it

    @recommended
    Scenario: Mail programs find the servers by themselves
      Then whatever mail programs are told of the servers answers them, and does so on the new server

    @recommended
    Scenario: Reports on encryption have somewhere to go
      Then whoever asks for reports on encryption says where they go

    @recommended
    Scenario: The postmaster of every domain can be reached
      Then somebody is behind postmaster and abuse of every domain
