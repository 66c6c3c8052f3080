Feature: The new server can prove who it is, under the old name too
  Mail programs know the old server's name, and receivers know the keys that sign each domain's mail.
  Every mail program and every receiver relies on it; the administrator of the server signs.
  If this fails, people are warned of a false certificate, and their letters are taken for forged.

  @move
  Scenario: Certificates and signing keys are on the new server, and in use
    When certificates and signing keys are carried over
    Then letters from every domain are signed, and the signature holds

  @undo
  Scenario: The new server keeps only its own certificates and keys
    When the carrying over of certificates and signing keys is taken back
    Then the new server shows its own certificate under its own name
