namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/authz.json: who may connect.
module AuthzCodecs =
    let policy: Codec<AuthzPolicy> =
        Codec.enum "QAuthZListPolicy" [ AuthzPolicy.Deny, "deny"; AuthzPolicy.Allow, "allow" ]
        |> Codec.documented "What becomes of a client." [ "deny", "It is sent away."; "allow", "It is let in." ]

    let private format: Codec<AuthzFormat> =
        Codec.enum "QAuthZListFormat" [ AuthzFormat.Exact, "exact"; AuthzFormat.Glob, "glob" ]
        |> Codec.documented "How a rule is compared with an identity." [
            "exact", "As it is."
            "glob", "As a pattern with * and ?."
        ]

    let private rule: StructCodec<AuthzRule> =
        record "QAuthZListRule" "A rule about clients." {
            let! pattern = doc "The identity that it is about." (required "match" Codec.str _.Match)
            let! policy = doc "What becomes of these clients." (required "policy" policy _.Policy)
            let! format = doc "How it is compared; exact if not given." (optional "format" format _.Format)

            return fun m -> { Match = pattern m; Policy = policy m; Format = format m }
        }

    let rules: Codec<AuthzRule list> = Codec.list (StructCodec.codec rule)

    let simpleProperties: StructCodec<AuthzSimpleProperties> =
        record "AuthZSimpleProperties" "Lets one client in." {
            let! identity = doc "The client's identity." (required "identity" Codec.str _.Identity)
            return fun m -> { Identity = identity m }
        }

    let listProperties: StructCodec<AuthzListProperties> =
        record "AuthZListProperties" "Rules about clients, of which the first that fits decides." {
            let! policy =
                doc
                    "What becomes of clients that no rule is about; deny if not given."
                    (optional "policy" policy _.Policy)
            let! rules = doc "The rules in order." (optional "rules" rules _.Rules)

            return fun m -> { Policy = policy m; Rules = rules m }
        }

    let listFileProperties: StructCodec<AuthzListFileProperties> =
        record "AuthZListFileProperties" "Rules about clients, in a file: a JSON object with policy and rules." {
            let! filename = doc "The file." (required "filename" Codec.str _.Filename)
            let! refresh =
                doc
                    "Whether it is read again when it changes; true if not given."
                    (optional "refresh" Codec.bool _.Refresh)

            return fun m -> { Filename = filename m; Refresh = refresh m }
        }
