// What the page says, in the browser's language. Every language has every entry; the quotes stay
// as they are.

const RUSSIAN = {
  title: "Волчья мудрость",
  invitation: "Подпишитесь\u00a0— и\u00a0услышите стаю вместе со\u00a0всеми.",
  session: "Сеанс",
  control: "Управление сеансом",
  connect: "Подключиться",
  subscribe: "Подписаться",
  unsubscribe: "Отписаться",
  disconnect: "Отключиться",
  id: "Номер сеанса",
  listening: "Слушают сейчас",
  unknown: "неизвестно",
  journal: "Журнал протокола",
  failed: "ошибок:",
  lines: "События протокола, новые сверху",
  quotes: "Цитаты",
  sent: "отправлено",
  received: "получено",
  link: "соединение",
  closed: "соединение закрыто: {code}, {reason}",
  again: "попытка через {seconds} с",
  code: "код {code}",
  states: {
    idle: "Не подключено",
    connecting: "Подключаемся…",
    connected: "На связи, без подписки",
    subscribing: "Подписываемся…",
    subscribed: "На связи, слушаем стаю",
    leaving: "Отключаемся…",
    waiting: "Восстанавливаем связь",
  },
  // What stands in place of the quotes while there are none.
  silence: {
    idle: "Здесь тихо. Подключитесь и подпишитесь — стая заговорит.",
    connecting: "Идём по следу…",
    connected: "Стая рядом. Подпишитесь, чтобы услышать её.",
    subscribing: "Ещё мгновение…",
    subscribed: "Тише. Сейчас скажет волк.",
    leaving: "Уходим в лес…",
    waiting: "След потерян. Ищем его снова…",
  },
  closes: {
    1000: "сеанс завершён",
    1006: "связь оборвалась",
    1008: "слишком много событий",
    1011: "ошибка на сервере",
    1012: "сервер перезапускается",
    1013: "сервер занят",
    4408: "сервер давно не слышал ping",
  },
  listeners: {
    one: "{n} слушатель", few: "{n} слушателя",
    many: "{n} слушателей", other: "{n} слушателя",
  },
};

const UKRAINIAN = {
  title: "Вовча мудрість",
  invitation: "Підпишіться\u00a0— і\u00a0почуєте зграю разом з\u00a0усіма.",
  session: "Сеанс",
  control: "Керування сеансом",
  connect: "Підключитися",
  subscribe: "Підписатися",
  unsubscribe: "Відписатися",
  disconnect: "Відключитися",
  id: "Номер сеансу",
  listening: "Слухають зараз",
  unknown: "невідомо",
  journal: "Журнал протоколу",
  failed: "помилок:",
  lines: "Події протоколу, нові зверху",
  quotes: "Цитати",
  sent: "надіслано",
  received: "отримано",
  link: "з’єднання",
  closed: "з’єднання закрито: {code}, {reason}",
  again: "спроба за {seconds} с",
  code: "код {code}",
  states: {
    idle: "Не підключено",
    connecting: "Підключаємося…",
    connected: "На зв’язку, без підписки",
    subscribing: "Підписуємося…",
    subscribed: "На зв’язку, слухаємо зграю",
    leaving: "Відключаємося…",
    waiting: "Відновлюємо зв’язок",
  },
  silence: {
    idle: "Тут тихо. Підключіться й підпишіться — зграя заговорить.",
    connecting: "Йдемо слідом…",
    connected: "Зграя поруч. Підпишіться, щоб почути її.",
    subscribing: "Ще мить…",
    subscribed: "Тихіше. Зараз скаже вовк.",
    leaving: "Йдемо до лісу…",
    waiting: "Слід загублено. Шукаємо його знову…",
  },
  closes: {
    1000: "сеанс завершено",
    1006: "зв’язок обірвався",
    1008: "забагато подій",
    1011: "помилка на сервері",
    1012: "сервер перезапускається",
    1013: "сервер зайнятий",
    4408: "сервер давно не чув ping",
  },
  listeners: {
    one: "{n} слухач", few: "{n} слухачі",
    many: "{n} слухачів", other: "{n} слухача",
  },
};

const ENGLISH = {
  title: "The wolf’s wisdom",
  invitation: "Subscribe, and hear the pack together with everybody.",
  session: "Session",
  control: "What to do with the session",
  connect: "Connect",
  subscribe: "Subscribe",
  unsubscribe: "Unsubscribe",
  disconnect: "Disconnect",
  id: "Session id",
  listening: "Listening now",
  unknown: "unknown",
  journal: "Protocol journal",
  failed: "errors:",
  lines: "Events of the protocol, the newest first",
  quotes: "Quotes",
  sent: "sent",
  received: "received",
  link: "connection",
  closed: "connection closed: {code}, {reason}",
  again: "next attempt in {seconds} s",
  code: "code {code}",
  states: {
    idle: "Not connected",
    connecting: "Connecting…",
    connected: "Connected, not subscribed",
    subscribing: "Subscribing…",
    subscribed: "Connected, listening to the pack",
    leaving: "Disconnecting…",
    waiting: "Getting the connection back",
  },
  silence: {
    idle: "It is quiet here. Connect and subscribe, and the pack will speak.",
    connecting: "Following the trail…",
    connected: "The pack is near. Subscribe to hear it.",
    subscribing: "A moment more…",
    subscribed: "Hush. The wolf is about to speak.",
    leaving: "Back into the forest…",
    waiting: "The trail is lost. Looking for it again…",
  },
  closes: {
    1000: "the session has ended",
    1006: "the connection broke",
    1008: "too many events",
    1011: "an error on the server",
    1012: "the server restarts",
    1013: "the server is busy",
    4408: "the server has not heard a ping for long",
  },
  listeners: { one: "{n} listener", other: "{n} listeners" },
};

const LANGUAGES = { __proto__: null, ru: RUSSIAN, uk: UKRAINIAN, en: ENGLISH };

const language = (locale) => locale.toLowerCase().split("-")[0];
const preferred = navigator.languages ?? [navigator.language ?? "en"];

// The first of the browser's locales whose language is spoken here; English otherwise.
export const LOCALE = preferred.find((locale) => language(locale) in LANGUAGES) ?? "en";
export const LANGUAGE = language(LOCALE);
export const WORDS = LANGUAGES[LANGUAGE];

const PLURAL = new Intl.PluralRules(LOCALE);
const NUMBER = new Intl.NumberFormat(LOCALE);

export function say(name, values = {}) {
  return WORDS[name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

// Why a connection ended; a code that is not known speaks for itself.
export function ending(code) {
  return WORDS.closes[code] ?? say("code", { code });
}

export function listeners(n) {
  return WORDS.listeners[PLURAL.select(n)].replace("{n}", NUMBER.format(n));
}
