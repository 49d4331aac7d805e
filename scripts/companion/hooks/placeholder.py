"""Tell a placeholder ("Monitor started, I'll report back") from a genuine report.

Where the job store knows the job, the store is the truth.  Only where no job is known the text alone is
judged, by `looks_like_placeholder`.

Judging the text alone
----------------------
A placeholder talks about the delegated job's life cycle, as present or future, and about nothing else: its
words come from a small closed vocabulary (job, dispatched, running, waiting, later, result ...).  A report
carries information, and information needs words from outside that vocabulary: names, causes, changes.  So the
text is cut into clauses and each clause is weighed twice: `life`, does it speak about an unfinished job, and
`info`, how much of it is foreign to that vocabulary.  Words which only say what the job is about ("I delegated
your request to fix the login test to OpenCode") are no information, nor are prompts, commands and status
fields.  In doubt the text is a report: it then passes untouched.

What is deliberately not called a placeholder: failures ("OPENCODE_RESCUE_FAILED: ...", "API Error: 400 ..."),
since polling would not help; a bare answer ("42", "Done."); a language that the vocabulary doesn't know.
A text that only says that the turns or rounds were used up while the job goes on is a placeholder.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost a hook's start some milliseconds
    from typing import Any

# --- Judging the text alone ---------------------------------------------------------------------------------
#
# The vocabulary, by language.  A trailing "*" makes a word a stem.  Roles:
#   act      the speaker hands the job over           state    the job is open: running, waited for, still
#   queue    open only as "in the queue"              promise  the speaker will tell the reader something
#   no       negation, open when it meets end/answer  will     future, condition or plan
#   end      the job's end                            answer   what the job brings
#   self     who delegates                            worker   who works (named: surely OpenCode)
#   job      the delegated thing                      topic    opens what a job is about ("task to ...")
#   filler   grammar, time, courtesy                  matter   what tasks and reports are about (bug, cause)
#   finding  only a report says this                  modal    with a negation: a failure ("could not")
LEXICON = {
    "all": """
named: companion opencode
worker: companion opencode rescue subagent
job: bash id job jobid monitor pid prompt ses session shell task watcher
state: background finalizing heartbeat in_progress investigating monitoring pending ping poll polling pull
  queued retrying running starting waiting
end: ready terminal
finding: api error exception lgtm opencode_rescue_failed traceback
filler: agent call command eta file h info json log m min mins model ms none null ok okay output phase
  report s sec secs status timeout tool true update utc workspace
""",
    "en": """
worker: agent it it's model s
self: i m me my our us ve we
job: analysis assignment call command delegate delegation execution instance instructions investigation job
  monitor poller process prompt rescue review run session task task's watcher work
modal: could couldn unable
act: accepted acknowledged armed asked asking assigned assigning backgrounded began begin begins begun
  commissioned consulted consulting contacted created delegat* deployed detached dispatch dispatched
  dispatching dropped engaged enlisted enqueue enqueued entrusted executed fire fired forwarded forwarding
  hand handed handing hired initiated instructed invoke invoked involve involved involving issued kicked
  launch launched launching live motion moved outsourced parked passed passing picked pinged placed placing
  posted put queued-up queueing received recruited registered relayed requested requesting rolled routed
  scheduled sending sent shipped spawned spun start started starts submit submitted submitting summoned
  tasked transferred transmitted triggered uploaded
state: active again alive analysing analyzing asap async asynchronously automatically await awaiting back
  ball behind being block blocking blocks busy checking chewing churn churning continue continued continues
  continuing cooking crunching currently digging eventually examining executing expect exploring far flight
  follow forthcoming going grinding handled hang hanging hold holding holds incomplete inflight inspecting
  keeping later lined lingering live loading looking loops meantime meanwhile mid-flight midst midway
  momentarily monitored notified observe observing occupied once ongoing outstanding parking patience
  patient pause paused pinged posted preparing proceed proceeding proceeds processed processing progress
  progressing pull queued rate-limited reading recheck remaining remains resume retry reviewing rolling
  round rounds shortly sleep sleeping soon spinning stand standing stay still suspended thinking tick
  ticking tight timer tracking tuned turn turns unchanged underway unfinished unresolved upcoming wait
  waiting wake warming watch watches watching woken working yet
queue: queue
promise: bring check circle collect come continue deliver fetch follow forward get give hand include let
  look monitor notify pass paste ping poll post present provide relay reply report resume retry return send
  share show summarise summarize surface tell update wait watch write
will: afterwards ask expected following going gonna happen happens intend left let let's ll need next
  remaining shall soon step steps then try until upon when will
no: cannot didn doesn don hasn haven isn neither no none nor not nothing t unable wasn without
end: arrive* available complet* conclude concluded concludes done elapsed end ended ending ends exceeded
  expired finalised finalized finish* flips landed lands over reached ready settles stops terminal through
  wraps
answer: answer answered answers anything conclusion deliver delivered feedback findings mention news outcome
  output produced reaction relay replied reply report reports responded response result results return
  returned summary verdict word
topic: about asking concerning for into of on regarding to
matter: broken bug bugs cause caused causes crashes deadlock error errors failing failure fix leak
  regression vulnerability wrong
finding: average
  aborted added came canceled cancelled changed correct crashed deleted denied duplicate explains
  failed fails fixed found implemented incorrect instead invalid missing pass passed passes recommend
  refactored refused rejected removed renamed replaced reproduced rewrote said suggest suggested suggests
  therefore twice version wrote yes
filler: a absolutely accept accepts according activate activated activity adversarial after alert all
  allowed allowing along already alright also although am an and announce announced announces another any
  anymore anytime apologies apologize appears approximately are around arranged arrangement as as-is asks
  assured at attempt attempts aware away awesome bash be bear been beginning behalf between bigger bit bits
  both brings budget but by can cap capped carried carries carry case certainly chance change charge checked
  checks code codebase comes coming concern confirm confirmed confirms control cool copy couple court
  current cycle cycles d dear delay detail details did directly do does down due during each ears eight else
  enable enabled event events every everyone everything executes exhausted exit exited exits expires eye
  eyes fetched few fifteen file filled final fine first five followed follows foreground forwarder four free
  frequently fresh from full gave getting given gives giving go goes good got gotcha great had half handful
  handle handles hands happening has have he heads hear heard hello her here here's hey hi his hit hope hour
  hour's hours however id identifier if immediately in inform informed informs inside instant instantly
  interim interval intervals is issue its jobs just keep keeps kind kindly know known large last lasted
  lasts latest lets lies like likely limit limited line lines long longer looks lot lots lying made make
  makes max maximum may message messages middle might minute minute's minutes minutes' mode moment moments
  more much must myself name needed needs new nine no-one normally note noted notes notification notifies
  noting now number observes off okay one only open opened opening opens or order other out outside overall
  own part parts pasted per perfect permit phase pick picking picks pings place places plan please plugin
  point polls position prepare prepared presently probably problem project provided query question queue's
  quick quite ran rate re reach reaches reads receive receives regards regular regularly remain replies repo
  repository request require required requires respond responds rest resulting retrieve retrieved right
  roger roughly same say schedule second seconds seconds' section see seem seems sees sends separate
  separately server set sets setting setup seven shared she should shows side sign signal signs since sits
  sitting situation six slot slow slowly so some someone sorry sort stage stands starting state status
  staying stays stop stream streaming successfully sure system take taken takes taking talk talking ten than
  thank thanks that the them there thereafter these they things think thinks third thirty this those though
  three thus time timed times today tonight too tool tools track tracks tries trying turned twenty two
  typically typing unavailable under understanding unedited up updated updates use used using usually
  verbatim very via view waited wakes want was way well went were what whenever where which while who whose
  wil window with worry would wrapper writes written you your
""",
    "de": """
worker: agent er es modell sie
self: ich mich mir uns wir
job: analyse anfrage arbeit aufgabe aufruf auftrag ausführung befehl hintergrundaufgabe hintergrundjob
  hintergrundprozess job job-id jobs lauf prozess prüfung review sitzung task untersuchung vorgang
modal: konnte konnten
act: abgegeben abgelegt abgeschickt abgesetzt aktivier* angeleg* angenommen angestoßen anleg* anstoßen
  anvertraut aufgefordert aufgegeben aufgenommen aufgesetzt ausgelagert ausgelös* beantrag* beauftrag*
  befragt begann beginn* begonn* delegier* eingegangen eingereicht eingereih* eingerichtet eingestellt
  engagiert entgegengenommen erstellt erteile erteilt gab gebeten gegeben gereicht gerufen geschickt gesend*
  gestart* hinterlegt hinzugezogen initiiert konsultiert kontaktiert lege leite los losgelegt losgeschickt
  losgetreten rausgeschickt registriert reiche schick* sende* start* stoße vergeben verschoben verteilt
  weitergegeben weitergeleitet weiterleit* zugeteilt zugewiesen übergeb* überlassen übermitt* übertragen
state: abfrag* abfrageintervall abgefragt abgewartet abwarte abwarten abzuwarten aktiv aktuell analys*
  arbeiten arbeitend arbeitet ausführ* ausgeführt* ausstehen ausstehend aussteht bald beansprucht bearbeit*
  benachrichtig* benötigt beobacht* bescheid beschäftigt bin bisher bleibe brauchen braucht dabei dauert
  demnächst denken denkt derzeit dran durchläuft durchsucht erneut erwarte erwartet folgen folgt fortgesetz*
  fortschritt fortsetz* frage fragt gang gange gearbeitet geduld gerade gleich heißt hinten hintergrund
  hängt informier* kümmert kürze laufen lauscht lese liest läuft melde meldet momentan nach nachfrage noch
  pausiert poll polle pollen pollt prüfe rechnet runde runden rundenlimit rödelt schaue schaut sieht sobald
  später statusabfrage statusprüfung steht timeout tut untersuch* unterwegs verarbeit* verfolge warte
  wartemodus warten wartend wartet wartezeit wartezustand weiter weiterhin weiterlauf* werkelt züge überlegt
  überprüf* überwach* übrig
queue: warteschlange
promise: bekommst berichte berichten bringe erhältst gebe halte informiere leite liefere melde melden
  nachfragen nachreichen prüfe reiche sage schau schaue schicke sende teile trage weitergeben übermittle
will: anschließend bis danach dann folgende nächste nächsten schritt schritte wenn werde werden wird
no: kein keine keinen keinerlei nicht nichts ohne weder
end: abgelaufen abgeschloss* abschließ* abschluss aufgebraucht ausgeschöpft beend* bereit durch eingetroffen
  eintrifft ende erledigt erreicht fertig liefer* verfügbar vorliegen vorliegt zurückkommt überschritten
answer: antwort antworten ausgabe befund befunde bericht berichten ergebnis ergebnisse geantwortet geliefert
  lösung melden meldungen mitteilen reaktion resultat rückantwort rückmeldung vermelden zurückgemeldet
  zusammenfassung
topic: für um zu zum zur über
matter: fehler fehlers kaputt problem problems ursache
finding: abgebrochen abgelehnt angepasst behoben bestanden daher deshalb empfehle empfehlung entfernt
  ergänzt falsch fehlgeschlagen gefunden geändert ja korrigiert nein weil
filler: ab aber ablauf* abschlussmeldung acht aktualisier* alle alles als am an andere anderen annehm*
  anzahl arbeit* auch auf augenblick aus automatisch außer außerdem außerhalb bei beim beispielsweise
  bekomm* bereits bestätig* bist bitte bleib* brauch* circa code codebasis da dafür damit danke daran darauf
  das dass dauer* davon dazu daß dein deine dem den der derweil des dich die dies diese diesem diesen dieser
  dieses dir direkt doch dort drei dreißig dritte du dürfte eben eigentlich ein eine einem einen einer
  einfach eingericht* einige einigen einiger einmal empfang* endlich entschuldig* erfahrungsgemäß
  erfolgreich erfolgt erfolgte erhalt* erhiel* erledigung erreich* erst erste erstell* ersten erstmal
  erzeug* eröffn* etwa etwas euch euer fragen fragestellung freundlich fünf ganz ganze ganzen geb* geduldig
  gegeb* gegen gehalten gemacht geplant* gern gerne gesamt gesamte gesamten gestoppt geöffnet gib gibt gut
  habe haben halt* hast hat hatte hier hiermit hierzu hinter hintereinander hinweis hole hände händen hätte
  hätten id id's ihm ihn ihnen ihr ihre ihren im immer in innerhalb intervall inzwischen ist jede jeden
  jeder jenes jetzt kam kann kannst kennung klar komm* komplette kontrollier* kurz können könnte könnten
  lange lasse lauf* lautet lediglich leider les* letzte letzten letzter lief liegen liegt limit länger mach
  mache machen mal man manche maximal maximale mehr mehrere meldung minute minuten minütchen mit
  mittlerweile moment momentchen muss möglich müssen nachdem nachher neben nehme neue neuen neuer neues
  neuesten neun normalerweise nummer nun nunmehr nur nötig oder okay ordnung pausier* per phase plan* platz
  position pro projekt prozess-id präsentier* prüft quellcode regelmäßig registrier* repository rest
  restliche rund sache schließlich schluss schon schreib* sechs sehr sei seid sein seit sekunde sekunden
  sekündlich selber selbst server sich sicherlich sieben sind so sofort solange solche soll sollte sollten
  somit stand statt stopp* stunde stunden such* teil trotz und ungefähr unser unsere unter unverändert
  verfolg* verlauf vermutlich verstanden verstreich* verstrichen versuch* verzögerung viel viele vier vierte
  vollständig vollständige vollständigen vom von vor voraussichtlich vorbereit* vorerst vorher vorläufig
  wahrscheinlich wann war warum was wegen weile welche welcher wer wie wieder wirst wissen wo wollte worden
  wortlaut wurde wurden während wäre wären wörtlich würde würden zehn zeig* zeit zeitlimit zeitpunkt
  zeitüberschreitung zuerst zuletzt zunächst zurzeit zurück zustand zwanzig zwar zwei zweite zweiten
  zwischen zyklus übrige
""",
    "fr": """
worker: agent elle il modèle
self: j je m me moi nous
job: analyse appel commande demande enquête exécution identifiant instruction job mission moniteur processus
  revue session traitement travail tâche
modal: pouvait pu
act: accepté acceptée activ* adressé adressée appelé assign* attribué basculé chargé chargée commenc* confi*
  consulté contacté crée créer créé* cédé demandé dispatché dispatchée débute débuté déclenché déclenchée
  délègue délég* démarr* dépêché engagé engagée enregistre enregistré enregistrée entamé entamée envo*
  expédié expédiée initialisée initié interrogé laissé lanc* mandaté mis mise ouvert ouverte parti partie
  passé placé planifié posé posée prié programmée relayé remis sollicité sollicitée soum* transm*
state: interroge
  actif active actuellement analys* arrière attend* attente avance avancement avert* bientôt bosse
  charge consulte consulter continu* courant cours dès encore examen examin* exécut* fond inform* instant
  interroger investigue notifi* nécessite occupe patience patient* pause penche pense peu plan planche
  poursui* prend prendra prendre prochainement progress* prévenu* prévien* ralenti relance relis reviendra
  reviendrai reviens revérifi* réessay* réfléchit scrute sondage sonde sous suivi suivre surveill* tard
  tiens toujours tour tourne tours train trait* travaille travailler vérifi* étudi* œuvre
queue: file
promise: afficherai avertirai communiquerai dirai enverrai fournirai informerai montrerai partagerai
  présenterai préviendrai préviens rapporterai relaierai repasserai restituerai reviendrai reviens tiendrai
  tiens transmettrai vérifierai
will: afficherai allons aura aurai auront communiquerai donnerai ensuite enverrai ferai fournirai informerai
  lira lorsqu lorsque partagerai prochaine prochaines proposera puis quand rapporterai relaierai sera serai
  seront suivante suivantes transmettrai va vais étape étapes
no: aucun aucune n ne ni pas rien sans
end: achev* arriv* atteint atteinte disponible disponibles dépassé dépassée fin fini finie finira prêt prête
  prêtes prêts rend rendra rendrai termin* écoulé épuisé
answer: annoncer communiquer compte conclusion conclusions nouvelles produit rapport rapporter rendu renvoyé
  retour retourné réaction répondu réponse résultat résultats signaler sortie synthèse verdict
topic: concernant d de pour sur à
matter: bogue cause défaut erreur problème échec échoue échoué
finding: ajouté annulé corrigé impossible modifié non oui parce recommande refusé supprimé trouvé échoué
filler: inchangé inchangée
  a accept* accord afin ai ainsi alors après arrêt* as assez attein* au aussi aussitôt automatiquement
  autre autres aux avait avant avec avez avoir avons ayant besoin bien bon bonne bref brièvement c ce ceci
  cela celle celui cependant certain certaines ces cet cette chaque chez chose cinq code combien comment
  complet complète compris confirm* contre contrôl* court d'ici dans demand* depuis dernier dernière
  derrière des deuxième devant devra devrait dire dix dois doit doivent donc donne dont du dur* déjà délai
  dépôt désolé désolée désormais elle-même elles en enfin enregist* entendu entre environ environs essa* est
  estimé et excuse* expir* faire fait fallait faut fera ferm* final finale fois fur gard* généralement
  habituellement heure heures huit ici ici-là id ils instants intégral intégralement intégralité jour jusqu
  juste l la le les leur leurs lien limite long longtemps longue lors lui lui-même là ma main mains
  maintenant mais malgré maximal maximum merci mes mesure minute minutes moment mon montr* même mêmes neuf
  nombre normalement nos notre nouveau nouvel nouvelle novedad numéro nécessaire observ* obtenir on ont ou
  ouvert* ouvr* où par pardon parfait part pendant petit petite peut peut-être peuvent peux phase planifi*
  plaît plus position possible pourquoi pourrait pourrez pouvez premier première presque pris prochain
  projet précédent précédente prépar* présent* prévu puisque qu quatre que quel quelle quelles quelques
  quels question qui recev* repris requête rest* retard reç* récupérer répond* s sa se second seconde
  secondes selon sept serveur ses si simplement sitôt six soi soit son sont stade statut succès suis suit
  suite suiv* surtout svp t ta tandis tant te tel temps tent* tenu tenue texte ton tous tout toute toutefois
  toutes travaill* trente trois troisième trop trouve très tu un une utiliser utilisez venu vers vien* vingt
  voici voilà voir vos votre vous vraiment y ça écoulée écri* étant état été être
""",
    "es": """
worker: agente ella modelo él
self: me nos nosotros yo
job: análisis comando ejecución encargo investigación job llamada orden proceso revisión sesión solicitud
  tarea trabajo
modal: pude pudieron pudo
act: pasé
  abierta abierto aceptada aceptado aceptó activ* arrancada arrancado arrancó arranqué asign* cedido
  comenz* comienz* consultado contactado contacté crea creada creado creó dejado deleg* derivado despach*
  dirigido disparado empez* empiez* encarg* encol* encomendado encomendé entregado envi* envío inici*
  invocado involucrado lancé lanz* llamado mandado mandar mandé movido orden* pasada pasado pasé pedido pedí
  planteado preguntado pregunté programada programado programé puesto pus* reenvi* registrada registrado
  remitido remití rogado solicit* transmit*
state: activa activo actualmente aguard* analiz* andando atento avance avanza avanzando avis* aún comprob*
  compruebo consulta consultando consultar consultaré consulto contin* corre corriendo cuanto curso debería
  demora demorará dentro ejecución ejecuta ejecutando ejecutar ejecutándose esper* estudiando examin* fondo
  informaré investig* leyendo llevará luego marcha mientras mirando momento monitore* monitoriz* notific*
  obra observando paciencia paciente pasó pausa pendiente pendientes pensando piensa plano procesa procesada
  procesado procesand* proceso progres* pronto proseguirá queda quedo rastreando requiere revisando ronda
  rondas seguimiento seguiré segundo sigo sigue siguen sigui* sondea sondeando sondeo supervisando
  supervisión tanto tardará tarde todavía trabaja trabajan trabajando trabajar transcurso turno turnos
  verific* vigil* volver volveré
queue: cola
promise: actualizaré avisaré compartiré comprobaré comunicaré consultaré contaré diré entregaré enviaré
  esperaré informaré mostraré notificaré pasaré presentaré reportaré revisaré traeré transmitiré volveré
will: compartiré cuando daré después diré entonces entregaré enviaré hará haré hasta intentará leerá pasaré
  pasos presentaré propondrá próximo próximos recibirás será siguiente siguientes tendrás traeré transmitiré
  va vamos voy
no: nada ni ninguna ningún no sin
end: acab* agotado agotaron agotó alcanzada alcanzado alcanzó completa completado complete conclu* devolv*
  devuelv* disponible disponibles entreg* fin finalice finaliz* haya lista listo listos lleg* termin*
answer: comunicar conclusiones contar contestación contestado contestó devuelto hallazgos informar informe
  noticias producido reacción reportar respondido respuesta resultado resultados resumen retorno salida
  veredicto
topic: acerca de del para sobre
matter: causa error falla fallo problema
finding: añadido añadí bucle cambié cancelado corregido corregí eliminado encontrado encontré encontró falló
  modificado porque rechazado recomiendo sí
filler: cambio cambios ahora ello
  a abr* acept* actualiz* acá además ahora ahí al alcanz* alguna algunas algunos algún alrededor ante
  anterior apenas aproximadamente aquí así automáticamente bajo bastante bien breve brevemente bueno cada
  casi cerr* cierr* cinco claro como completo con confirm* contarte contra control* correctamente corto cosa
  cosas cual cualquier cuatro cuentas cuestión cuyo cuál cuándo cuánto código cómo deba debe deben deberá
  debo decir decirte delante demasiado desde deten* detrás dicho diez dij* disculp* donde dos dur* dónde el
  ello en entendido entre es esa escrib* ese eso esta estado estamos estando estar este estimado esto estoy
  está están etapa excedió expir* fase favor final fue generalmente gracias gran ha haber había hace hacer
  hacerlo hacia han hay he hecho hemos hora horas id identificador informarte instante intent* inténtalo la
  lamento larga largo las le les lleva llevan llevo lo los límite mandarte mano manos mantener mantien* mi
  minutito minuto minutos misma mismo mismos mostr* muy más máximo mío necesit* normalmente novedad
  novedades nuestra nuestro nuevas nueve nuevo nuevos número o observ* obtener ocho os otra otras otro otros
  parte pasarte perdona perdón perfecto permanec* pero petición poco podrás podría podrían por posible
  posición pregunt* prepar* present* primer primera primero probablemente program* proyecto pueda puede
  pueden puedes puedo que qued* quien quienes rato realmente recib* recuperar registr* repositorio requier*
  responda responde restante restantes retraso saber se sea sean segunda segundos según seis ser servidor si
  sido siendo siete simplemente solamente solo son su suele superado superó sus sólo también tan tardar te
  tema tenemos tengo tercer tercera texto tiempo tiene tienes toda todas todo todos toma tras treinta tres
  tu tus tuyo u un una unas unos usa usando vale van varias varios veinte ven* ver verlo vez vuelvo vuestro
  y ya éxito íntegra íntegro última último
""",
    "pt": """
worker: agente ela ele modelo
self: eu me nós
job: análise chamada comando execução job pedido processo revisão sessão solicitação tarefa trabalho
modal: conseguiu pude pôde
act: aberta aberto aceita aceito acionado acionei agendada agendado agendei arrancou ativ* atrib* cedi
  chamei colocada colocado comec* começ* confiado confiei consultei contatei criada criado crio* deixei
  deleg* despach* disparada disparado disparar disparei encaminh* encarreg* envi* inici* lanc* lançada
  lançado lançar mandei movido partiu passei pedi pedido perguntado perguntei registrado registrei repassado
  repassei requisitei solicit* submeter submeti submetida submetido transmit*
state: acompanhando acompanhar aguard* ainda analis* andamento assim ativa ativo atualmente avança avis*
  breve checando conferindo conferir consultando consultar consulto continu* curso demora demorar demorará
  depois enquanto esper* estudando examin* executa executando executar execução fundo informarei informo
  instantes investig* lendo leva levar levará logo momento monitor* notific* olhando paciência pausa
  pendente pensa pensando pensar plano pouco processa processada processado processamento processand*
  processo progres* prossegue rastreando roda rodada rodadas rodando rodar segue seguindo seguir segundo
  sigo sondando supervision* trabalha trabalhando trabalhar transcorrendo turno turnos verific* volto
queue: fila
promise: atualizo avisarei compartilharei comunicarei contarei direi enviarei esperarei informarei mostrarei
  passarei repassarei repasso retornarei trarei verificarei voltarei
will: até compartilharei darei deve então enviarei passo passos próximo próximos quando seguinte será trarei
  vai vamos vou
no: nada nem nenhum nenhuma não sem
end: acab* atingi atingido cheg* conclu* devolv* disponível entreg* esgotado esgotei fim finaliz* pronta
  pronto prontos sai sair termin* término
answer: comunicar conclusões devolutiva devolveu informar reação relatar relatório reportar respondeu
  resposta respostas resultado resultados resumo retorno retornou saída veredito
topic: da de do para sobre
matter: causa erro falha problema
finding: adicionei cancelado corrigi corrigido encontrado encontrei falhou laço mudei porque recomendo sim
filler: a abert* abr* aceit* agora alcanc* algum alguma algumas alguns além antes ao aos apenas apresent*
  após aqui as atraso atualiz* bastante bem bom cada certo cinco claro coisa coisas com como completo
  confirm* conforme contar conto contra control* cujo curto código daqui das desculp* desde devem deveria
  deverá devo dez disse dizer dois dos duas dur* e em entendido entre escrev* essa esse esta estado estando
  estar este estimado estiver estou está estão etapa excedeu excedido expir* fase favor faz fazer fech*
  feito fic* final foi for foram frente geralmente haver hora horas há id identificador instante isso isto
  já la lhe limite lo longo lá mais mantem mantém mas mesma mesmo meu minha minutinho minuto minutos mostr*
  muito máximo mão mãos na nas nisso no normalmente nos nossa nosso novamente novas nove novidade novidades
  novo novos número o obrigad* observ* obter oito ok onde os ou outra outras outro outros par* pela pelas
  pelo pelos perfeito pergunt* permanec* pode podem poderia por posso precis* prepar* primeira primeiro
  program* projeto provavelmente qualquer quanto quase quatro que quem questão realmente receb* registr*
  repositório responda responder restam restante se segunda segundos seis sendo ser sete seu sido sob
  somente status sua sucesso são só te tem temos tempo tendo tenham tenho tent* ter terceira texto toda
  todas todo todos trago trazer trinta três tudo tão ultrapassou um uma usar use vem venceu ver vez vinte
  vir você vocês várias vários à é íntegra
""",
    "it": """
worker: agente lui modello
self: ci io mi noi
job: analisi attività chiamata comando compito incarico job lavoro processo revisione richiesta sessione
  task
modal: potuto riuscito
act: accettata accettato accodata accodato accolta affid* aperta aperto assegn* attiv* avvi* ceduto chiamato
  chiesto coinvolto cominci* consegnato consultato contattato crea* deleg* girato incaric* iniz* innescato
  inoltr* interpellato interrogato invi* lanci* lasciato mandato messa messo ordinato partita partito
  passare passata passato passo programmata programmato registrata registrato richiesto rivolto sottoposto
  spedito trasm*
state: aggiornamento aggiornerò aggiorno analizz* ancora appena aspett* attend* attesa attiva attivo
  attualmente avanza avanzamento avvis* background breve continu* controlla controllando controllare
  controllo corso elabor* esamin* esecuzione esegue eseguire frattempo gira girando girare giri giro
  guardando impiegare impiegherà indag* interrogando lavora lavorando lavorare lavorazione leggendo momento
  monitoraggio monitorand* notific* opera pausa pazientare paziente pazienza pendente pensa pensando poco
  poi presto proced* processa progred* proseg* richiede richiedere richiederà riflette rifletto riprova
  riprovo sapere seguendo seguire seguo sonda sondaggio sorvegli* sospeso sottofondo studiando supervision*
  tardi tra turni turno tuttora verific*
queue: coda
promise: aggiornerò aspetterò attenderò avviserò comunicherò condividerò controllerò dirò fornirò informerò
  inoltrerò invierò mostrerò passerò riferirò riferisco riporterò tornerò
will: comunicherò condividerò darò faccio farò fino invierò leggerà passi prossimi prossimo quando riferirò
  riporterò sarà vado
no: nessun nessuna niente non nulla senza
end: arriv* complet* conclu* consegn* disponibile disponibili esauriti esaurito fine finirà finisc* finit*
  pronta pronti pronto raggiunto restitu* termin* uscito
answer: comunicare esito output rapporto reazione relazione replica resoconto restituito riepilogo riferire
  riportare riscontri riscontro risposta risposto risultati risultato segnalare verdetto
topic: del di per riguardo su
matter: causa errore problema
finding: aggiunto annullato ciclo consiglio corretto fallita fallito modificato perché sì trovato
filler: abbastanza abbiamo accett* adesso aggiorn* ai al alcune alcuni all alla alle allo allora altra altre
  altri altro anche apert* apr* attimo avendo avere bene bisogn* c capito ce che chi chiaro chied* chius*
  cinque codice come con conferm* contro controll* cosa cose così cui da dal dall davanti davvero dei dell
  della delle dello detto deve devo devono dieci dire dirti diverse diversi domand* dopo dove dovrebbe dovrà
  due dur* e ed essendo essere fa fare farti fase fatto favore ferm* finché fra generalmente già gli grazie
  ha hanno ho i id il in informarti integrale istante l la le li limite lo lunga lungo lì ma mani mano
  mantien* massimo mentre mia minuti minuto mio molto momentino mostr* ne negli nei nel nella nello
  normalmente nostra nostro nove novità numero nuove nuovi nuovo o ogni ora ore osserv* ottenere otto
  perfetto più portarti porto possibile posso possono potrebbe potrebbero prepar* present* prima primo
  probabilmente progetto program* prov* puoi pure può qualche qualcosa qualsiasi quanto quasi quattro quello
  questa questione questo qui quindi raggiung* registr* rest* ricev* riman* rimasti risponda risponde
  ritardo scad* scriv* scusa scusate se seconda secondi secondo sei serv* sette si solo soltanto sono sotto
  sta stata stato stessa stesso stimato sto sua successo sul sulla sullo suo superato tappa tempo tent*
  terza terzo testo ti torno tre trenta tua tuo tutta tutte tutti tutto un una uno usa vedere ven* verso vi
  volta vuole è
""",
    "ru": """
worker: агент* модель он она
self: мне мной мы нам я
job: анализ* вызов задани* задач* запрос* команд* монитор поручен* процесс* работа ревью сессия
modal: смог*
act: адресован* активир* вызва* делегир* доверил* запускаю запустил* запущен* запущу зарегистрирован*
  назнач* направил* направлен* направляю начал* начат* начина* начн* обратил* отда* отправ* переда* подал*
  подан* подключил* попросил* поруч* послa* послал* послан* постав* постановк* принял* принят* просил*
  связал* создан* создаю спросил* ставлю стартова*
state: активн* анализир* вернусь висит вскоре выполнен* выполня* выясня* движ* дожда* дожид* дума* еще ещё
  ждать ждем ждет жди* жду ждём ждёт займет займёт занимает занять идет идёт изуча* исполнен* исполня*
  исследу* крут* минутку мониторинг наблюда* обраба* обработк* ожида* опрашивать опрашиваю опрос отслежива*
  паузе подожд* позже пока понадоб* потребу* провер* продолж* процесс* работает работать работе работы
  разбира* раунд* режим* скоро следит* слежу смотр* сообщу теку* терпени* тихо трудит* уведом* фон* ход*
  читает
queue: очеред*
promise: вернусь доложу напишу отпишусь передам перешлю поделюсь подожду предоставлю пришлю проверю расскажу
  сообщу
will: будут дам доложу затем когда передам поделюсь покажу после потом предоставлю пришлю расскажу следующ*
  станет шаг*
no: без не нет нечего никаких ничего
end: будет верн* готов* достигнут* доступ* заверш* законч* исчерпан* окончани* получ* появ* приш*
answer: вердикт* вывод* доклад* итог* ответ* отклик* отчет* отчёт* рассказ* реакци* результат* сообщ*
topic: для на о об по
matter: ошибк* причин* проблем*
finding: да дважды добав* измен* исправ* найден* отмен* потому рекоменд* удал* цикл*
filler: а автоматически актив* более больше будем будете бы был была были было быстро быть в вам вас ваш
  вероятно весь видимо включ* во возможно вопрос* восемь вот врем* все всё вторая второй вы где даже два
  двадцать двумя девять держ* десять длит* до долго должен достиг* другими его ее если есть её же за
  задержк* закончил* закры* здесь и из извин* или именно истек* их к каждую каждые каждый как как-только ко
  код кода конец конечно контрол* конце концу которая которое который ладно ли лимит* лишь максим* между
  менее меньше минут* могу мое моего может можете можно мой момент* моя наблюд* наверное над надо напиш* наш
  него ней некоторое некоторый немного несколько нею неё ним них но новая новые новый нужен нужно обнов*
  обычно однако около опять оста* от откры* отлично очень пару первая первый перед писа* планир* подготов*
  подключ* подтвер* пожалуйста позднее показ* полностью полный понял понятно попозже попробу* попыт* пор
  почти превысил* предост* при придётся примерно прин* приход* пробу* проект* простите просто пять раз
  регистр* репозитори* рук* с сам сама само своего своей свой себя сейчас секунд* семь скаж* сколько снова
  со собой состояни* спасибо спраш* спрос* спустя сразу стади* статус стоит сторон* сюда так также там тебе
  текст теперь тобой того тоже только требу* третий третья три тридцать туда тут у уже узнать успешно фаза
  хорошо хотя целиком час* через четыре числ* что чтобы чуть шесть эта этап* этим это этого этой этому этот
  является
""",
    "zh": """
worker: 代理 它 智能体 模型
self: 我 我们
job: 任务 会话 作业 分析 命令 审查 检查 监控任务 监控器 监视器 编号 调查 进程 需求
act: 下发 丢给 交出 交出去 交由 交给 入队 分派 分配 创建 加入 发出 发给 发起 发送 启动 启用 呼叫 咨询 咨询了
  委托 委派 安排 已交 已将 开启 开始 托付 投递 拉起 指派 指示 提交 求助 派发 派给 移交 联系 触发 询问 请
  请求了 调用 转交 转发 转给 送交 送出 递交
state: 一旦 不久 中… 久等 仍 仍在 仍然 先等 关注 再看 再等 分析中 分析代码 即将 后台 回合 处理中 守候 审查中
  尚未 届时 工作中 异步 很快 忙 忙着 思考 执行 持续 挂着 挂起 排队 无法继续 暂无 暂时 未决 未完成 未结束
  未返回 检查 正 正在 正在处理 正在进行 活跃 监听 监控 监测 监管 监视 目前 盯 盯着 着手 研究 稍作 稍候 稍后
  稍后再 稍等 等 等一会 等一等 等候 等到 等待 等等 继续 继续等待 耐心 要 观察 请等 调查中 跑 跑完 跟踪 跟进
  轮 轮候 轮数 轮次 轮等待 轮询 运行 运转 还 还在 还未 还没 还要 进展 进度 进行 进行中 追踪 阅读 阅读代码
  阶段 随时 马上
queue: 队列
promise: 反馈给 同步给 向你报告 向您报告 呈现 告知你 告知您 告诉你 告诉您 回报 奉上 带回来 带给 汇报 给你
  给出 给您 转告 转达 返回给 通报 通知你 通知您
will: 下一步 之后 以后 会 先 再 后 将 当 待 接下来 时 最后 步骤 然后 计划
no: 不 无 暂无 未 没 没有
end: 上限 出 出来 完成 完毕 就绪 得到 用尽 结束 结束后 达到 返回
answer: 上报 内容 反馈 告知 告诉 响应 回复 回应 回答 回音 报告 汇总 汇报 消息 答复 答案 结果 结论 转达 输出
  送达 通知
topic: 以便 关于 去 来 用于
matter: 原因 失败 错误 问题
finding: 正确
  三次 不通过 两次 从未 任务失败 修复 修改 发现 因此 如下 完成了 导致 建议 改为 新增 无法 是的 未发现
  没有上限 没有发现 添加 禁用 结论
filler: 一 一下 一些 一会 一次 一点 一直 七 三 上 下 下一 下一个 下来 不过 与 两 两个 个 个人 中 为 久 之
  之前 九 也 了 了解 事件 二 五 些 些许 交付 仅 从 仓 仓库 他 代码 代码库 以 任何 会把 会有 估 但 位 作 你
  你的 使用 依旧 依然 保持 做 停止 先前 全 全程 全部 八 六 关闭 其 写 准备 几 分钟 刚 刚刚 到 到时 到达 前
  前面 剩余 十 即 即可 原文 原样 又 取 取得 变动 变化 只 只好 只能 只要 可 可以 可能 号 各 后续 向 吗 吧 启
  呀 呢 和 哦 啊 四 回来 因 因为 在 处于 处理 多 多久 大概 大约 她 好 好的 如 如果 它的 完整 对 将近 小时
  尝试 就 就位 尽快 展示 工作 工具 左右 差不多 已 已有 已经 并 并且 应该 建立 开始了 当前 很 得 您 您可以
  您的 情况 感谢 成功 我会 我这边 或 或者 所 所有 手上 手里 才 才能 打开 把 抱歉 拿 拿到 接到 接受 接手 接收
  提示词 收到 整个 整体 文件 新 新的 方式 时间 时限 明白 是 是否 显示 更 更新 最后一次 最大 最新 有 服务器
  期待 期间 期限 本 本次 本轮 条 查看 次 此 此时 每 每次 每隔 没办法 注册 活动 然 状态 环节 现在 用 用时 由
  由于 登记 的 目标 直到 直接 看 着 知道 确认 秒 秒钟 移至 稍 立即 第 第一时间 约 给 而 而且 耗尽 耗时 能 自
  自动 自己 自行 若 获取 获得 被 让 让它 许 试 该 说 请求 请求的 谢谢 起来 超时 转入 转到 较 过去 过来 过程
  还有 这 这个 这次 这边 进 连接 通过 那 那么 那边 那里 都 里 长 间隔 随后 隔 零 需 需要 项 项目 预 预计
""",
    "ja": """
worker: エージェント モデル
self: こちら わたし 私
job: コマンド ジョブ セッション タスク プロセス プロンプト モニター レビュー 作業 依頼 内容 処理 分析 確認
  解析 調査
act: お願い キック スタート ディスパッチ 任せ 作成 依頼 割り当て 受け付け 受付 問い合わせ 回し 委ね 委任
  委託 委譲 実施 尋ね 引き渡 引き継 手配 投げ 投入 派遣 渡し 発注 発行 登録 相談 移さ 移管 移行 立ち上げ
  聞き 要請 質問 起動 転送 追加 送り 送信 開始 預け 頼み
state: いまだ お待たせ お待ち しばらく のちほど まだ ウォッチ ターン ターン数 バックグラウンド ポーリング
  モニタリング ラウンド 今しばらく 作業中 依頼中 保留 再確認 処理 処理中 分析 分析中 動いて 動作中 取りかか
  取り組 回って 実行 実行中 対応中 少々 引き続き 引続き 待たせ 待ち 待って 待つ 待機 待機します 待機中
  待機状態 後ほど 思考中 未了 未取得 未完了 検討中 次第 残って 現在 監視 監視中 着手 確認します 稼働中 継続
  続い 続いて 続け 続けて 続行 考え 見て 見守 解析中 読んで 調べて 調査中 走って 走らせ 途中 進め 進展 進捗
  進行 進行中 間もなく 順番待ち
queue: キュー
promise: お伝えいた お伝えし お知らせいた お知らせし 共有いた 共有しま 報告いた 報告しま 報告します 確認いた
  確認しま 転送いた 転送しま 連絡いた 連絡しま
will: その後 たら とき ましたら ステップ 予定 後に 次に 次の 際
no: ず ない なく ません 未
end: 上限 出た 出て 出ま 完了 届 戻 揃 終え 終わ 終了 返って 達し
answer: お伝え お知らせ レポート 伝え 共有 出力 反応 回答 報告 応答 知らせ 答え 結果 返事 返信 返答 通知
  連絡
topic: ための について に関する
matter: エラー 原因 問題 失敗
finding: 正しい
  いいえ ため、 できませんでした はい 上限がありません 二回 二度 二重 以下のとおり 修正 削除 変更
  失敗しました 推奨 次のとおり 無効 見つか
filler: いたしま いただ いつ お おき おそらく かかり かかる かしこまり から ください ここ こと これから ご
  ございま ごと さらに じき すぐ すべて そこ そのまま たため ただいま たぶん だけ つつ ている ておく でき
  できま でした です では という ところ として どう どれ なお ながら など において により ので まし ました
  ます また まで まま まもなく もう もう一度 もと もの よう わかり イベント コード コードベース サーバー
  ステータス タイムアウト フェーズ プロジェクト リクエスト リポジトリ 一 一度 一部 七 三 上げ 上記 下 下さ
  下さい 下記 中 中です 九 了解 予想 予約 二 五 今 今後 他 以下 以内 以後 以降 件 何 使 保ち 保持 停止 側 先
  入 全 全体 全文 八 六 内 再び 再度 出 分 分かり 到達 前 前回 動き 十 原文 取 取得 受 受け取 受信 受領 可能
  各 問い 四 回 場合 変わ 変化 多 大 失礼 始ま 始め 定期 定期的 小 少し 引 後 得 必要 思 恐らく 成功 手元
  承知 掛 掛かり 改めて 数 新しい 方 日 旨 早 時点 時間 時間切れ 更新 書 最大 最新 有効 有効化 本 来 様 様子
  次 止ま 正常 残り 段階 毎 毎回 済 済み 準備 状態 状況 現 現時点 用 用意 申 申し訳 番 番号 番目 皆 目 短
  確定 確認済 示 秒 程度 第 約 経 経過 結論 自動 至 致 行 表示 要し 見 見込 見込み 観察 言 設定 試 試み 超え
  近 途中経過 遅 長 閉じ 開い 間 間隔 頂 願
""",
    "ko": """
worker: 모델 에이전트
self: 저 저희 제 제가
job: 검토 리뷰 명령 모니터 번호 세션 요청 작업 잡 태스크 프로세스
act: 개시 건네 걸어 걸었 넘겨 넘겼 던져 등록 디스패치 띄웠 맡겨 맡겼 문의 물어 발송 배정 보내 보냈 부탁 생성
  시작 실행시 요청 요청했 위임 위탁 의뢰 전달 전환 접수 접수되 제출 질문 착수 추가 투입 할당 호출
state: 감시 걸려 걸리 걸릴 걸립 검토중 계속 곧 금방 기다려 기다리 끝나면 나중 남아 대기 대기중 돌고 돌아
  돌아가 모니터링 백그라운드 분석 분석중 살펴보 생각 소요 수행 실행 실행중 아직 여전히 완료되면 이따가
  이어서 이어지 읽고 작업 작업중 잠깐 잠시 조금 조사 조사중 중 지켜 지켜보 진행 진행중 착수 처리 처리중 추적
  턴 폴링 현재 확인 확인하 활성
queue: 대기열 큐
promise: 공유드리 공유하겠 기다리겠 말씀드리 보고드리 보고하겠 알려 알려드리 전달드리 전달하겠 전해드리
  확인하겠
will: 겠 다음 단계 되면 때 면 예정 후
no: 못 미 안 않 없 없습
end: 끝 끝나 나오 나왔 도달 도착 소진 완료 종료 준비 초과
answer: 결과 공유 답 답변 답을 말씀 반응 보고 소식 알려 응답 출력 회답 회신
topic: 관한 위한 위해
matter: 문제 실패 오류 원인
finding: 권장 두 따라서 때문 발견 번 변경 삭제 수정 실패했습니다 통과 필요
filler: 가 각 감사 개 걸 걸린 것 것으로 게 게요 고 과 관련 관찰 그 그대로 그래서 그러나 그리고 기 까 까지 나
  남은 내 내용 네 는 는대로 는데 니 니다 다 다른 다섯 다시 닫 대로 더 더욱 던 데 도 동안 되 되고 되는 되어
  된 된다 될 됨 뒤 드렸 드리 드릴 들 등록되 때까지 또 또한 라 려 로 로서는 를 릴 마다 막 만 많이 말 매 매우
  먼저 멈추 며 면서 몇 모두 모든 못한 못했 물 므로 바로 받 받아 받았 받은 받지 방금 변화 보고서 분 사이 상태
  상황 새 서 성공 성공적 세 세요 손 수 습 시간 시도 쓰 아 아주 알겠 았 앞 약 약간 어 업데이트 없이 었 에
  에게 에서 여 여기 여섯 열 예상 예약 와 요 우선 위 유지 으로 으로서는 으며 은 은데 을 음 의 이 이번 이벤트
  이전 이제 이후 인 임 입 있 있는 있습 있으 자동 저장 저장소 전 전부 전체 정도 정말 좀 죄송 주 준 준비되 줄
  줍 지 지만 첫 초 최대 코드 코드베이스 표시 프로젝트 하 하게 하고 하는 하는중 하면 하여 하지만 한 한도 할
  함 합 해 해당 해서 했 했으 혹은 확인되 활성화 횟수 후에
""",
}
LATIN = ("en", "de", "fr", "es", "pt", "it")
UNSPACED = ("zh", "ja", "ko")
PREPOSITIONS = {  # what makes of a queue a state ("in the queue"); in Japanese and Korean it follows the noun
    "en": {"in", "into", "to", "on"},
    "de": {"in", "der", "auf"},
    "fr": {"en", "dans"},
    "es": {"en", "a"},
    "pt": {"na", "em", "à"},
    "it": {"in"},
    "ru": {"в", "на"},
    "ja": {"に", "で"},
    "ko": {"에"},
    "zh": {"在", "到", "入", "进", "加入", "进入", "放入", "已"},
}
PERFECT = frozenset(["been", "have", "has", "ve", "having", "was", "m", "am", "now"])
PURPOSE = frozenset(
    [
        "to",
        "why",
        "whether",
        "what",
        "how",
        "warum",
        "ob",
        "um",
        "pourquoi",
        "pour",
        "para",
        "per",
        "perché",
        "чтобы",
        "почему",
    ]
)
SPEAKING = frozenset(["act", "state", "end", "answer", "will", "promise", "self", "worker", "job"])
META_KEYS = frozenset(  # "Model: ..." in a status dump says nothing
    [
        "model",
        "agent",
        "elapsed",
        "created",
        "createdat",
        "started",
        "startedat",
        "updated",
        "phase",
        "session",
        "title",
        "prompt",
        "task",
        "request",
        "time",
        "last",
        "lastactivity",
        "activity",
        "tokens",
        "cost",
        "duration",
        "workspace",
        "workspaceroot",
        "cwd",
        "log",
        "output",
        "pid",
        "branch",
        "mode",
        "progress",
        "user",
        "type",
        "priority",
        "eta",
        "polling",
        "interval",
        "aufgabe",
        "auftrag",
        "tarea",
        "tâche",
        "tarefa",
        "attività",
        "задача",
        "任务",
        "任务内容",
        "タスク",
        "작업",
    ]
)
OPEN_STATES = frozenset(
    [
        "queued",
        "pending",
        "running",
        "starting",
        "started",
        "in_progress",
        "in-progress",
        "waiting",
        "dispatched",
        "submitted",
        "accepted",
        "processing",
        "created",
        "scheduled",
        "active",
    ]
)
PHASES = frozenset(["investigating", "retrying", "finalizing", "background"])
CODE_TAGS = frozenset(
    [
        "python",
        "py",
        "diff",
        "patch",
        "ts",
        "tsx",
        "js",
        "jsx",
        "typescript",
        "javascript",
        "go",
        "rust",
        "rs",
        "java",
        "c",
        "cpp",
        "sql",
        "ruby",
        "php",
        "css",
        "html",
        "swift",
        "kotlin",
        "yaml",
        "toml",
        "dockerfile",
    ]
)
HEAD, TAIL = 4_000, 2_000  # characters judged of a longer text: what it is shows at its ends
HEAD_LINES, TAIL_LINES = 1_200, 600
CLAUSE_LIMIT = 200  # words looked at of one clause
JSON_LIMIT = 100_000  # characters; a longer text is judged as prose
INFO_PER_LIFE = 1.5  # foreign words that each clause about the life cycle outweighs
CODE_INFO, ANSWER_INFO = 8.0, 6.0  # what a code block, what an announced answer counts

_cache: dict[str, Any] = {}


def _tables() -> dict[str, Any]:
    """The lexicon as look-up tables and the compiled patterns, built at the first judgement."""
    if _cache:
        return _cache
    import re

    words: dict[str, dict[str, set[str]]] = {}
    stems: dict[str, dict[str, set[str]]] = {}
    for lang, listing in LEXICON.items():
        exact, stem = words.setdefault(lang, {}), stems.setdefault(lang, {})
        role = ""
        for word in listing.split():
            if word.endswith(":"):
                role = word[:-1]
            else:
                (stem if word.endswith("*") else exact).setdefault(word.rstrip("*"), set()).add(role)
    _cache["words"], _cache["stems"] = words, stems
    _cache["known"] = {}
    misspelt: dict[str, set[str]] = {}
    _cache["misspelt"] = misspelt
    for word, meant in [*words["en"].items(), *words["all"].items()]:  # one letter left out, or doubled
        if len(word) > 5 and meant & {"act", "state", "end", "answer", "job"}:
            for at in range(1, len(word)):
                misspelt.setdefault(word[:at] + word[at + 1 :], meant)
                misspelt.setdefault(word[:at] + word[at - 1 :], meant)
    _cache["job"] = re.compile(
        r"\b(?:(?:task|review|adversarial-review)-[0-9a-z]+-[0-9a-z]{4,8}|(?:ses|bash|bg|shell)_\w{1,40})\b"
    )
    _cache["command"] = re.compile(
        r"TERMINAL=timeout|(?:opencode[-_]companion(?:\.py)?|/opencode:)[ \t]*"
        r"(?:status|result|wait-and-result|monitor|task|rescue)?(?:[ \t]+(?:␟id|--[\w-]+|\d+))*"
    )
    _cache["quote"] = re.compile(
        r"\"\"\".{0,6000}?\"\"\"|\"[^\"\n]{1,400}\"|“[^”\n]{1,400}”|„[^“”\"\n]{1,400}[“”\"]|«[^»\n]{1,400}»|"
        r"「[^」\n]{1,400}」|『[^』\n]{1,400}』|(?<!\w)'[^'\n]{2,400}'(?!\w)|(?<!\w)‘[^’\n]{2,400}’(?!\w)",
        re.S,
    )
    _cache["split"] = re.compile(r"(?<=[.!?…])[\"')\]*_]*\s+|[。！？；;]|\s[–—-]\s|——")
    _cache["token"] = re.compile(
        r"␟[a-z]+|https?://\S+|(?:[~A-Za-z0-9_.@-]*/)+[A-Za-z0-9_.@-]*(?::\d+)*|"
        r"[A-Za-z_][A-Za-z0-9_.]*\([^()\n]{0,80}\)|"
        r"[A-Za-z_][A-Za-z0-9_-]*\.[A-Za-z][A-Za-z0-9_]*(?::\d+)?|[A-Za-z]+(?:_[A-Za-z0-9]+)+|in-progress|"
        r"[A-Za-z]+\d[A-Za-z0-9]*|[㐀-鿿぀-ヿ々]+|[가-힣]+|\d[\d.,:%]*[A-Za-z]*|[^\W\d_㐀-鿿぀-ヿ々가-힣]+"
    )
    _cache["item"] = re.compile(r"^\s*(?:[-*+•]|\d{1,2}[.)、])\s+")
    _cache["field"] = re.compile(r"^[\s|*_`#>-]*([^\W\d_][\w /-]{0,20}?)[\s*_`]*[:：=|][\s*_`|]*(.*)$")
    return _cache


def _roles(word: str, lang: str) -> set[str]:
    """The roles of one lower-case word in a language (empty: a foreign word)."""
    tables = _tables()
    known: dict[tuple[str, str], set[str]] = tables["known"]
    found = known.get((word, lang))
    if found is not None:
        return found
    found = set()
    for name in (lang, "all"):
        found |= tables["words"][name].get(word, set())
        stems = tables["stems"][name]
        if stems:
            for end in range(2, min(len(word), 14) + 1):
                found |= stems.get(word[:end], set())
    if not found and lang == "en" and len(word) > 5:
        found = tables["misspelt"].get(word, set())
    if len(known) < 20_000:
        known[(word, lang)] = found
    return found


def _segment(run: str, lang: str) -> list[tuple[str, set[str]]]:
    """Cut a run of letters written without spaces by the longest known word; the rest is foreign."""
    words: dict[str, set[str]] = _tables()["words"][lang]
    parts: list[tuple[str, set[str]]] = []
    rest, at = "", 0
    while at <= len(run):
        piece = next((run[at : at + n] for n in range(min(8, len(run) - at), 0, -1) if run[at : at + n] in words), "")
        if (piece or at == len(run)) and rest:
            grammar = lang == "ja" and all("぀" <= char <= "ゟ" for char in rest)
            parts.append((rest, {"filler"} if grammar else set()))
            rest = ""
        if piece:
            parts.append((piece, words[piece]))
        elif at < len(run):
            rest += run[at]
        at += max(len(piece), 1)
    return parts


def _tokens(clause: str, lang: str) -> list[tuple[str, set[str]]]:
    tokens: list[tuple[str, set[str]]] = []
    for raw in _tables()["token"].findall(clause):
        word = raw.lower()
        if word == "␟id":
            tokens.append((word, {"job", "id"}))
        elif word == "␟command":
            tokens.append((word, {"state", "worker"}))
        elif word == "␟quote":
            tokens.append((word, {"quote"}))
        elif word[0].isdigit() or (word.isascii() and word.isalnum() and not word.isalpha()):
            tokens.append((word, {"number"}))
        elif "가" <= word[0] <= "힣":
            tokens.extend(_segment(word, "ko"))
        elif "㐀" <= word[0] <= "鿿" or "぀" <= word[0] <= "ヿ" or word[0] in "ー々":
            tokens.extend(_segment(word, "ja" if lang == "ja" else "zh"))
        elif word in ("in-progress", "in_progress"):
            tokens.append((word, {"state"}))
        elif word.isalpha():
            tokens.append((word, _roles(word, lang)))
        elif word.endswith((".output", ".log", ".jsonl")) or word.startswith("/tmp"):
            tokens.append((word, {"filler"}))
        else:
            tokens.append((word, {"code"}))
    return tokens


def _language(text: str) -> str:
    """The language whose vocabulary covers most of the text; English when in doubt."""
    if any("가" <= char <= "힣" for char in text):
        return "ko"
    if any("぀" <= char <= "ヿ" for char in text):
        return "ja"
    if any("㐀" <= char <= "鿿" for char in text):
        return "zh"
    if any("а" <= char <= "я" for char in text):
        return "ru"
    words = [raw.lower() for raw in _tables()["token"].findall(text[:3000])]
    return max(
        LATIN,
        key=lambda lang: sum(
            1 for word in words if word in _tables()["words"][lang] or (len(word) > 3 and _roles(word, lang))
        ),
    )


def _classify(clause: str, lang: str) -> list[tuple[str, set[str]]]:
    """The tokens of a clause with the roles they have in this place."""
    tokens = _tokens(clause, lang)[:CLAUSE_LIMIT]
    topic = False  # inside "the task to ...", up to the next word about the life cycle
    for at, (word, roles) in enumerate(tokens):
        topic = topic and not roles & {"act", "state", "worker", "finding"}
        topic = topic or (at > 0 and "topic" in roles and "job" in tokens[at - 1][1])
        if "queue" in roles:  # "in the queue" is a state, "the queue ..." is what somebody reports about
            near = {near for near, _ in tokens[max(at - 2, 0) : at]}
            if lang in ("ja", "ko"):
                near = {near[:1] for near, _ in tokens[at + 1 : at + 2]}
            roles = {"state"} if near & PREPOSITIONS[lang] else set()
        tokens[at] = (word, {"filler"} if topic else roles)
    return tokens


def _first(tokens: list[tuple[str, set[str]]], *wanted: str) -> int:
    """Where the first token with one of these roles stands; after the end when there is none."""
    return next((at for at, (_, roles) in enumerate(tokens) if roles & set(wanted)), len(tokens))


def _promises(tokens: list[tuple[str, set[str]]], lang: str) -> bool:
    """Does the speaker promise to tell the reader something ("I'll let you know")?"""
    for at, (_, roles) in enumerate(tokens):
        if "promise" in roles:
            near = {role for _, others in tokens[max(at - 3, 0) : at] for role in others}
            said = {role for _, others in tokens[:at] for role in others}
            if lang == "en" and "self" in said and "will" in near and ("self" in near or "worker" not in near):
                return True
            around = near | {role for _, others in tokens[at + 1 : at + 2] for role in others}
            if lang == "de" and "self" in around:
                return True
            if lang not in ("en", "de"):
                return True
    return False


def _hands_over(tokens: list[tuple[str, set[str]]], lang: str) -> bool:
    """Does the clause say that something was given to OpenCode, whatever it is?"""
    act, named, finding = _first(tokens, "act"), _first(tokens, "named"), _first(tokens, "finding")
    if max(act, named) >= len(tokens) or any("modal" in roles for _, roles in tokens):
        return False
    if lang in ("ja", "ko"):
        return True
    perfect = lang != "en" or act < 3 or any(word in PERFECT or "self" in roles for word, roles in tokens[:act])
    if named < act and any(word in ("been", "was") for word, _ in tokens[named:act]):
        return act < finding
    if named < act:
        return _first(tokens, "self") < act < finding and "self" in {role for _, r in tokens[:named] for role in r}
    return perfect and not act < finding < named


def _weigh(clause: str, lang: str) -> tuple[float, float, bool]:
    """Life-cycle talk and information in one clause, and whether it announces a plan or a prompt."""
    tokens = _classify(clause, lang)
    has = {role for _, roles in tokens for role in roles}
    foreign = [at for at, (_, roles) in enumerate(tokens) if not roles or roles & {"code", "quote", "matter"}]
    findings = [at for at, (_, roles) in enumerate(tokens) if "finding" in roles]
    if {"modal", "no"} <= has:
        findings.append(len(tokens))
    strange = min(foreign + findings, default=len(tokens))
    before = {role for _, roles in tokens[:strange] for role in roles}
    plan = "will" in has or ("act" in has and bool(has & {"job", "worker"}))
    ended = "end" in has and not has & {"no", "will"}
    is_open = bool(
        "state" in has
        or ("act" in has and "no" not in has)
        or ("no" in has and has & {"end", "answer"})
        or ("will" in has and has & {"end", "answer"})
    )
    opening = next(
        (
            at
            for at, (_, roles) in enumerate(tokens)
            if roles & {"act", "state", "will"}
            or ("no" in roles and has & {"answer", "end", "self"} and at + 1 not in foreign)
        ),
        len(tokens),
    )
    told = _promises(tokens, lang)
    spare = 0  # foreign words that it may have: none in front, more in a long one that is clearly about waiting
    if strange > opening:
        surely = bool(has & {"named", "id"} or ("self" in has and has & {"state", "will"})) + (
            sum(1 for _, roles in tokens if "state" in roles) > 1
        )
        spare = min(surely, len(tokens) // (7 if lang in UNSPACED else 5))
    known = sum(1 for _, roles in tokens if roles & SPEAKING)
    if "state" in has and known >= 3 and has & {"job", "worker", "self"}:
        spare = max(spare, min((known + 1) // 3, 2))
    if any(tokens[at][1] for at in foreign):
        spare = 0
    if lang in UNSPACED:  # a foreign phrase counts once
        foreign = [at for at in foreign if at - 1 not in foreign]
    if not findings and (is_open or told) and len(foreign) <= spare:
        vague = ended or not (told or has & {"state", "will", "no", "job", "worker"})
        return (0.5 if vague else 1.0), 0.0, plan
    if not findings and not foreign:
        return (0.5 if "named" in has and not has & {"end", "answer", "number"} else 0.0), 0.0, plan
    # What follows or goes before may be the topic of the job, no information.
    if _hands_over(tokens, lang) or (told and (strange >= min(opening, _first(tokens, "promise")) or not findings)):
        return 1.0, 0.0, True
    named = bool(before & {"named", "id"})
    speaks = named and "state" in before
    speaks = speaks or ("act" in before and "self" in before and bool(before & {"job", "worker"}))
    speaks = speaks or {"self", "no", "answer", "state"} <= has or {"no", "answer", "state"} <= before
    purpose = next((at for at, (word, _) in enumerate(tokens) if word in PURPOSE), len(tokens))
    start: set[str] = {role for _, roles in tokens[:purpose] for role in roles} if purpose < strange else set()
    speaks = speaks or ("state" in start and bool(start & {"worker", "self"}))
    says = strange in findings and tokens[strange - 1][1] & {"state", "act"}  # "is still failing"
    if speaks and not ended and not says:
        return 1.0, 0.0, not findings
    if ("will" in before and before & {"self", "worker"}) or ("worker" in before and "state" in has and not findings):
        return (0.5 if named or "self" in before else 0.0), (0.0 if named else len(foreign) / 2), True
    info = sum(2.0 if tokens[at][1] else 1.0 for at in foreign) + 3.0 * len(findings)
    return 0.0, info, plan and not findings


def _parsed(text: str) -> Any:
    """The JSON value that a text is, or None."""
    import json

    try:
        return json.loads(text) if text[:1] in "{[" else None
    except (ValueError, RecursionError):
        return None


def _open_value(value: Any) -> bool:
    """Does a JSON value only say that a job isn't over: an open status, and no answer or error anywhere?"""
    seen: list[Any] = [value]
    states, ids, steps = False, False, 0
    while seen and steps < 500:
        steps += 1
        item = seen.pop()
        if isinstance(item, list):
            seen.extend(item[:50])
        elif isinstance(item, dict):
            for key, inner in item.items():
                name = str(key).lower()
                if name in ("result", "answer", "error", "errormessage", "findings") and inner:
                    return False
                if name in ("status", "state"):
                    if str(inner).lower().replace(" ", "_") not in OPEN_STATES:
                        return False
                    states = True
                ids = ids or name in ("jobid", "job_id", "taskid", "task_id")
                if isinstance(inner, (dict, list)):
                    seen.append(inner)
    return states or ids


def _bare(text: str) -> str:
    """The text without the marks that only dress it: emphasis, outer quotes, fences' ticks."""
    for mark in ("**", "__"):
        text = text.replace(mark, "")
    text = text.strip().strip("*_").strip()
    if len(text) > 1 and (text[0] + text[-1]) in ('""', "''", "``", "“”", "「」", "«»"):
        text = text[1:-1].strip()
    return text


def _is_state(word: str) -> bool:
    return word.lower() in OPEN_STATES or word.lower() in PHASES


def _mask(line: str) -> str:
    """Ids, companion commands and quotations replaced by one word each, so that their words don't count."""
    tables = _tables()
    line = tables["job"].sub(" ␟id ", line)
    line = tables["command"].sub(" ␟command ", line)

    def quoted(match: Any) -> str:
        inner = match.group(0).strip("\"'“”„«»「」『』‘’ ")
        return f" {inner} " if _is_state(inner) else " ␟quote "

    line = tables["quote"].sub(quoted, line)
    parts = line.split("`")
    for at in range(1, len(parts) - 1, 2):
        inner = parts[at].strip()
        if inner and not inner.startswith("␟") and not _is_state(inner):
            parts[at] = " ␟quote "
    return " ".join(parts)


def _field_name(clause: str) -> str:
    """The name in "Name: value" (a status line, a table row), lower case, or nothing."""
    field = _tables()["field"].match(clause)
    return field.group(1).lower().strip() if field else ""


def _read_lines(text: str) -> tuple[list[str], float, float]:
    """The lines of prose, and what code blocks add to life and info; quoted blocks become "> " lines."""
    lines: list[str] = []
    block: list[str] = []
    life = info = 0.0
    fence = ""
    every = text.split("\n")
    if len(every) > HEAD_LINES + TAIL_LINES:
        every = every[:HEAD_LINES] + every[-TAIL_LINES:]
    for line in every:
        mark = line.strip()
        if fence and mark.startswith(fence) and not mark.strip(fence[0]):
            if _open_value(_parsed("\n".join(block).strip())):
                life += 1
                del lines[len(lines) - len(block) :]
            fence, block = "", []
        elif fence:
            block.append(line)
            lines.append("> " + line)
        elif mark.startswith(("```", "~~~")) and mark[:3] not in mark[3:]:
            fence = mark[:3]
            info += CODE_INFO if mark.strip("`~ ").lower() in CODE_TAGS else 0
        elif mark:
            lines.append("> " + mark if line.startswith("    ") and not _tables()["item"].match(line) else line)
    if all(line.lstrip().startswith(">") for line in lines):
        lines = [line.lstrip("> ") for line in lines]
    return lines, life, info


def looks_like_placeholder(text: str) -> bool:
    """Is a subagent's final text only talk about a job that goes on, with nothing of its answer in it?"""
    tables = _tables()
    text = _bare(text)
    value = _parsed(text) if len(text) < JSON_LIMIT else None
    if value is not None:
        return _open_value(value) or value in ({}, [])
    lines, life, info = _read_lines(text)
    total = sum(map(len, lines))
    if total > HEAD + TAIL:
        joined = "\n".join(lines)
        lines = (joined[:HEAD] + "\n" + joined[-TAIL:]).split("\n")
    masked = _mask("\n".join(lines)).split("\n")
    rest = "\n".join(masked)
    if not any(char.isalnum() for char in rest) or rest.strip(" ([<>])").lower() in ("empty", "no content"):
        return info == 0
    lang = _language(rest)
    planned = answered = False
    bare_id = "␟id" in rest and not info
    prose = [line for line in dict.fromkeys(masked) if line.strip()]  # a repeated line says nothing more
    for at, line in enumerate(prose):
        stripped = line.strip()
        item = tables["item"].match(line)
        heading = not item and (
            stripped.startswith("#")
            or stripped.endswith((":", "："))
            or (len(stripped) < 60 and bool(tables["item"].match("".join(prose[at + 1 : at + 2]))))
        )
        planned = planned and bool(item)
        if stripped.startswith(">"):  # a prompt or a command, unless it is announced as the answer
            info += CODE_INFO if answered else 0
            answered = False
            continue
        if stripped.startswith(("⬜", "☐")) or "[ ]" in stripped[:8]:
            continue
        if _field_name(stripped) in META_KEYS:
            continue
        for clause in tables["split"].split(stripped):
            if not clause:
                continue
            name = _field_name(clause)
            if name and any("answer" in _roles(word, lang) for word in name.split()):
                value = tables["field"].match(clause).group(2)
                info += ANSWER_INFO if any(map(str.isalnum, value)) and not _weigh(value, lang)[0] else 0
            gained, said, plan = _weigh(clause, lang)
            info += ANSWER_INFO if answered and not gained else 0
            answered = False
            life, info = life + gained, info + (0 if planned and item else said)
            bare_id = bare_id and not said
            if heading:
                planned = plan
        kinds = {role for _, roles in _classify(stripped, lang) for role in roles} if heading else set()
        answered = not planned and bool(kinds & {"answer", "finding"})
    if bare_id and not info and life == 0:
        return True
    return (life >= 1 or (life > 0 and info == 0)) and info <= INFO_PER_LIFE * life
