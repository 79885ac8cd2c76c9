"""Six plain things that a customer says, in every language of the lexicon: their signals are found."""

from __future__ import annotations

import pytest

from services.analyzer.analysis.fallback.lexicon import read_languages
from tests.unit.analyzer.analysis.fallback.test_signals import signals_of

SCENARIOS = ("price", "commit", "paid", "refuse", "later", "complaint")
DECIDING = frozenset({"commit", "paid", "refuse", "later", "complaint", "soon"})

TEXTS = {
    "ar": (
        "مرحبا، كم سعر هذا؟",
        "تمام، باخذه. عنواني شارع الملك 12",
        "دفعت قبل شوي",
        "شكرا، اشتريت من محل ثاني",
        "خليني افكر",
        "الطلب وصل مكسور، ابي فلوسي",
    ),
    "de": (
        "Hallo, was kostet das?",
        "Gut, ich nehme es. Meine Adresse ist Gartenweg 12",
        "Ich habe gerade bezahlt",
        "Danke, ich habe schon woanders gekauft",
        "Ich überlege es mir noch",
        "Das ist kaputt angekommen, ich will mein Geld zurück",
    ),
    "en": (
        "Hi, how much is this?",
        "Good, I'll take it. My address is 12 Garden Road",
        "I have just paid",
        "Thanks, I already bought one elsewhere",
        "Let me think about it",
        "It arrived broken, I want my money back",
    ),
    "es": (
        "Hola, ¿cuánto cuesta?",
        "Bien, me lo llevo. Mi dirección es calle Sol 12",
        "Acabo de pagar",
        "Gracias, ya compré en otro lado",
        "Lo voy a pensar",
        "Llegó roto, quiero que me devuelvan el dinero",
    ),
    "fr": (
        "Bonjour, ça coûte combien ?",
        "Bien, je le prends. Mon adresse est 12 rue du Four",
        "Je viens de payer",
        "Merci, j'ai déjà acheté ailleurs",
        "Je vais y réfléchir",
        "C'est arrivé cassé, je veux être remboursé",
    ),
    "hi": (
        "bhaiya iska rate kya hai?",
        "theek hai, main le lunga. Address: 12 Gandhi Road",
        "abhi payment kar diya",
        "maine dusri jagah se le liya",
        "soch kar batata hu",
        "toota hua mila, paise wapas karo",
    ),
    "id": (
        "Halo kak, ini harganya berapa?",
        "Oke, saya ambil. Alamat saya Jalan Melati 12",
        "Saya baru saja bayar",
        "Makasih, saya sudah beli di toko lain",
        "Saya pikir dulu ya",
        "Barangnya datang rusak, saya minta uang kembali",
    ),
    "it": (
        "Ciao, quanto costa?",
        "Bene, lo prendo. Il mio indirizzo è via Roma 12",
        "Ho appena pagato",
        "Grazie, ho già comprato altrove",
        "Ci devo pensare",
        "È arrivato rotto, voglio il rimborso",
    ),
    "ja": (
        "こんにちは、これはいくらですか？",
        "では、これを買います。住所は本町1丁目12です",
        "先ほど振り込みました",
        "すみません、他の店で買いました",
        "少し考えます",
        "壊れて届きました。返金してください",
    ),
    "ko": (
        "안녕하세요, 이거 얼마예요?",
        "네, 살게요. 주소는 중앙로 12입니다",
        "방금 입금했어요",
        "죄송해요, 다른 데서 샀어요",
        "생각해볼게요",
        "물건이 파손됐어요. 환불해주세요",
    ),
    "ms": (
        "Salam, ini berapa harga?",
        "Ok, saya ambil. Alamat saya 12 Jalan Mawar",
        "Saya baru bayar tadi",
        "Terima kasih, saya dah beli di kedai lain",
        "Saya fikir dulu",
        "Barang sampai rosak, saya nak refund",
    ),
    "nl": (
        "Hallo, wat kost dit?",
        "Goed, ik neem het. Mijn adres is Tuinstraat 12",
        "Ik heb net betaald",
        "Bedankt, ik heb al ergens anders gekocht",
        "Ik denk er nog over na",
        "Het is kapot aangekomen, ik wil mijn geld terug",
    ),
    "pt": (
        "Oi, quanto custa?",
        "Certo, vou levar. Meu endereço é rua das Flores 12",
        "Acabei de pagar",
        "Obrigada, já comprei em outro lugar",
        "Vou pensar",
        "Chegou quebrado, quero meu dinheiro de volta",
    ),
    "ru": (
        "Здравствуйте, сколько это стоит?",
        "Хорошо, беру. Мой адрес улица Садовая 12",
        "Только что оплатила",
        "Спасибо, уже купила в другом месте",
        "Я подумаю",
        "Пришло сломанное, верните деньги",
    ),
    "th": (
        "สวัสดีค่ะ ราคาเท่าไหร่คะ",
        "เอาค่ะ ที่อยู่ 12 ถนนสุขใจ",
        "เพิ่งโอนเงินค่ะ",
        "ขอบคุณค่ะ ซื้อที่อื่นแล้ว",
        "ขอคิดดูก่อนนะคะ",
        "ของมาแตก ขอเงินคืนค่ะ",
    ),
    "tl": (
        "Hello po, magkano po ito?",
        "Sige po, kukunin ko na. Address ko po 12 Mabini Street",
        "Kakabayad ko lang po",
        "Salamat po, nakabili na ako sa iba",
        "Pag-iisipan ko po muna",
        "Sira po yung dumating, pabalik ng pera ko",
    ),
    "tr": (
        "Merhaba, bu ne kadar?",
        "Tamam, alıyorum. Adresim Gül Sokak 12",
        "Az önce ödedim",
        "Teşekkürler, başka yerden aldım",
        "Biraz düşüneyim",
        "Kırık geldi, para iadesi istiyorum",
    ),
    "vi": (
        "Chào shop, cái này bao nhiêu tiền?",
        "Ok, mình lấy cái này. Địa chỉ 12 đường Hoa",
        "Mình vừa chuyển khoản rồi",
        "Cảm ơn, mình mua chỗ khác rồi",
        "Để mình suy nghĩ thêm",
        "Hàng bị vỡ, mình muốn trả lại tiền",
    ),
    "zh": (
        "你好，这个多少钱？",
        "好的，我要了。地址是花园路12号",
        "我刚付了钱",
        "谢谢，我已经在别家买了",
        "我再考虑一下",
        "收到的是坏的，我要退款",
    ),
}
CASES = [
    pytest.param(texts[0], text, signal, id=f"{code}-{signal}")
    for code, texts in TEXTS.items()
    for signal, text in zip(SCENARIOS, texts, strict=True)
]


def test_every_language_is_probed() -> None:
    assert TEXTS.keys() == read_languages().keys() - {"signs"}


@pytest.mark.parametrize(("opening", "text", "signal"), CASES)
def test_a_plain_sentence_signals_what_it_says_and_nothing_against_it(opening: str, text: str, signal: str) -> None:
    found = signals_of(text, opening=opening)
    assert signal in found
    assert found & DECIDING <= {signal}
    assert "given" in found or signal != "commit"
