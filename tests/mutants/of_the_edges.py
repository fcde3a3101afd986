"""Faults of tokens, of page loads, and of links."""

from __future__ import annotations

from tests.mutants.mutant import mutant

TOKENS = ("test_token_rules.py", "test_tokens.py")
PAGES = ("test_freshness.py", "test_capture.py")

MUTANTS = (
    mutant(
        "a token of any algorithm",
        "token_rules.py",
        '    if header.get("alg") != ALGORITHM:\n',
        "    if False:\n",
        *TOKENS,
    ),
    mutant(
        "a token with any signature",
        "tokens.py",
        "    if _rs256.verify(parts.signed, key, parts.signature):\n",
        "    if True:\n",
        *TOKENS,
    ),
    mutant(
        "an expired token",
        "token_rules.py",
        "    if now >= valid_until(claims):\n",
        "    if False:\n",
        *TOKENS,
    ),
    mutant(
        "a token that is not valid yet",
        "token_rules.py",
        "    if now < valid_from(claims):\n",
        "    if False:\n",
        *TOKENS,
    ),
    mutant(
        "a token that another site asked for",
        "token_rules.py",
        "        elif self.parties and party not in self.parties:\n",
        "        elif False:\n",
        *TOKENS,
    ),
    mutant(
        "a token of another issuer",
        "token_rules.py",
        "        if self.issuers and not (isinstance(issuer, str) and issuer in self.issuers):\n",
        "        if False:\n",
        *TOKENS,
    ),
    mutant(
        "a session that is still pending",
        "token_rules.py",
        '        if claims.get("sts") == "pending":\n',
        "        if False:\n",
        *TOKENS,
    ),
    mutant(
        "a token that is remembered past its end",
        "tokens.py",
        "        return claims if since <= now < until and edition == self._source.edition else None\n",
        "        return claims if edition == self._source.edition else None\n",
        *TOKENS,
    ),
    mutant(
        "a token that is remembered past its key",
        "tokens.py",
        "        return claims if since <= now < until and edition == self._source.edition else None\n",
        "        return claims if since <= now < until else None\n",
        *TOKENS,
    ),
    mutant(
        "capture without the guard of one read",
        "capture.py",
        ".update(checked_at=stored(now)) == 1\n",
        ".update(checked_at=stored(now)) >= 0\n",
        *PAGES,
    ),
    mutant(
        "capture without single flight",
        "capture.py",
        "            leads = flight is None\n",
        "            leads = True\n",
        *PAGES,
    ),
    mutant(
        "a claim that is older than the row believed",
        "freshness.py",
        "    if hints.issued_ms < user.observed_ms:\n        return False\n",
        "",
        *PAGES,
    ),
    mutant(
        "a claim that disagrees not heeded",
        "freshness.py",
        "    return Reason.CLAIMS if _disagrees(user, hints) else None\n",
        "    return None\n",
        *PAGES,
    ),
    mutant(
        "a page that fails with Clerk",
        "capture.py",
        "        except (ClerkSyncError, ImproperlyConfigured) as error:\n",
        "        except ImproperlyConfigured as error:\n",
        *PAGES,
    ),
    mutant(
        "link by an unverified e-mail address",
        "linkrules.py",
        "for row in rows if row.email and row.email_verified}\n",
        "for row in rows if row.email}\n",
        "test_linking.py",
        "test_matching.py",
    ),
    mutant(
        "link to staff by e-mail",
        "matching.py",
        '    if rule.by_email and (getattr(user, "is_staff", False) or getattr(user, "is_superuser", False)):\n',
        "    if False:\n",
        "test_linking.py",
        "test_matching.py",
    ),
    mutant(
        "a deleted user's Django user given to whom the address was never proven",
        "matching.py",
        "    return (is_living or holder.email_verified) and lower",
        "    return lower",
        "test_matching.py",
        "test_linking.py",
    ),
)
