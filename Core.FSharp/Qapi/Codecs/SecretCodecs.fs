namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/crypto.json: secrets.
module SecretCodecs =
    let format: Codec<SecretFormat> =
        Codec.enum "QCryptoSecretFormat" [ SecretFormat.Raw, "raw"; SecretFormat.Base64, "base64" ]
        |> Codec.documented "How the bytes of a secret are written." [
            "raw", "As they are."
            "base64", "In base64 (RFC 4648)."
        ]

    let private common: StructCodec<SecretCommonProperties> =
        record "SecretCommonProperties" "What all kinds of secrets have in common." {
            let! format = doc "How the secret is written; raw if not given." (optional "format" format _.Format)
            let! keyId =
                doc
                    "The secret of 32 bytes with which this one is encrypted (AES-256, CBC, PKCS#7 padding)."
                    (optional "keyid" Codec.str _.KeyId)
            let! iv =
                doc "The initialisation vector of the encryption: 16 bytes in base64." (optional "iv" Codec.str _.Iv)

            return fun m -> { Format = format m; KeyId = keyId m; Iv = iv m }
        }

    let secretProperties: StructCodec<SecretProperties> =
        record "SecretProperties" "A password or key. Either data or file must be given." {
            let! common = inherits common _.Common
            let! data = doc "The secret itself. It is never shown again." (optional "data" Codec.str _.Data)
            let! file = doc "The file that holds it." (optional "file" Codec.str _.File)

            return fun m -> { Common = common m; Data = data m; File = file m }
        }

    let keyringProperties: StructCodec<SecretKeyringProperties> =
        record "SecretKeyringProperties" "A password or key that the kernel keeps in a keyring." {
            let! common = inherits common _.Common
            let! serial = doc "The serial number of the key." (required "serial" Codec.int32 _.Serial)

            return fun m -> { Common = common m; Serial = serial m }
        }
